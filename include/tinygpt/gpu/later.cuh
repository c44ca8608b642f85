// A number on its way from the GPU to the host, which goes on meanwhile.
#pragma once

#include <cstring>
#include <type_traits>

#include <tinygpt/gpu/device_memory.cuh>

namespace tinygpt::gpu {

/// Pinned memory for one number, and a mark behind its copy.
template <class N> class Later {
  static_assert(std::is_trivially_copyable_v<N>);

 public:
  Later() : memory_(sizeof(N)) {}
  /// Waits, as the GPU may be about to write there.
  ~Later() {
    try {
      there_.wait();
    } catch (...) {  // told to whoever asks for the number
    }
  }

  void copy(const N* from, cudaStream_t stream) {
    check(cudaMemcpyAsync(memory_.data(), from, sizeof(N), cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
    there_.record(stream);
  }

  N get() {
    there_.wait();
    N number;
    std::memcpy(&number, memory_.data(), sizeof(N));
    return number;
  }

 private:
  PinnedMemory memory_;
  Event there_{cudaEventDisableTiming};
};

}  // namespace tinygpt::gpu

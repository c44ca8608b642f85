// The way of numbers from the host to the GPU: through a ring of pinned memory, so that nobody waits for a copy.
#pragma once

#include <cstddef>
#include <cstring>

#include <tinygpt/gpu/device_memory.cuh>

namespace tinygpt::gpu {

/// Pinned memory in blocks, and as much of the GPU's. A copy is laid into the current block, so what it came from is
/// free again at once. From there it goes to its like on the GPU on a stream of its own, while operations that were
/// given before still run; and from that to its place in the order of their stream, so that it overtakes none that
/// reads there. The way over the bus is hidden, and what is left costs what memory of the GPU costs. A few numbers go
/// to their place directly, as two streams that wait for one another would take longer.
///
/// When a block is full its end is marked in the operations' stream, and the host waits for the mark only if it comes
/// round to that block before: a small number costs no wait, and a large copy is laid down block by block while the GPU
/// fetches the one before.
class Staging {
 public:
  static constexpr std::int64_t blocks = 4;
  static constexpr std::int64_t block_bytes = std::int64_t{2} << 20;
  static constexpr std::int64_t bytes = blocks * block_bytes;  ///< of the GPU's memory
  static constexpr std::int64_t few_bytes = 256;

  void copy_in(std::byte* to, const std::byte* from, std::int64_t size, cudaStream_t stream) {
    while (size > 0) {
      if (used_ == block_bytes) next_block(stream);
      const std::int64_t n = size < block_bytes - used_ ? size : block_bytes - used_;
      const std::int64_t place = block_ * block_bytes + used_;
      std::memcpy(pinned_.data() + place, from, static_cast<std::size_t>(n));
      if (n <= few_bytes) {
        copy(to, pinned_.data() + place, n, cudaMemcpyHostToDevice, stream);
      } else {
        copy(device_.data() + place, pinned_.data() + place, n, cudaMemcpyHostToDevice, ahead_.get());
        arrived_.record(ahead_.get());
        arrived_.hold_back(stream);
        copy(to, device_.data() + place, n, cudaMemcpyDeviceToDevice, stream);
      }
      to += n, from += n, size -= n;
      // The next one begins at a multiple of 16, as copies like it; block_bytes is one.
      used_ = (used_ + n + 15) / 16 * 16;
    }
  }

 private:
  static void copy(std::byte* to, const std::byte* from, std::int64_t n, cudaMemcpyKind kind, cudaStream_t stream) {
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(n), kind, stream), "cudaMemcpyAsync");
  }

  void next_block(cudaStream_t stream) {
    read_[block_].record(stream);
    block_ = (block_ + 1) % blocks;
    used_ = 0;
    read_[block_].wait();
  }

  PinnedMemory pinned_{bytes};
  DeviceMemory device_{bytes};
  Stream ahead_;
  Event arrived_{cudaEventDisableTiming};
  Event read_[blocks] = {Event(cudaEventDisableTiming), Event(cudaEventDisableTiming), Event(cudaEventDisableTiming),
                         Event(cudaEventDisableTiming)};
  std::int64_t block_ = 0, used_ = 0;
};

}  // namespace tinygpt::gpu

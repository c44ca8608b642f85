// The way of numbers from the host to the GPU: through a ring of pinned memory, so that nobody waits for a copy.
#pragma once

#include <cstddef>
#include <cstring>

#include <tinygpt/gpu/device_memory.cuh>

namespace tinygpt::gpu {

/// Pinned memory in blocks. A copy is laid into the current block and goes on from there in the order of the stream, so
/// what it came from is free again at once. When a block is full its end is marked in the stream, and the host waits
/// for the mark only if it comes round to that block before the GPU has read it: a small number costs no wait, and a
/// large copy is laid down block by block while the GPU fetches the one before.
class Staging {
 public:
  static constexpr std::int64_t blocks = 4;
  static constexpr std::int64_t block_bytes = std::int64_t{2} << 20;

  Staging() : memory_(blocks * block_bytes) {}

  void copy_in(std::byte* to, const std::byte* from, std::int64_t bytes, cudaStream_t stream) {
    while (bytes > 0) {
      if (used_ == block_bytes) next_block(stream);
      const std::int64_t n = bytes < block_bytes - used_ ? bytes : block_bytes - used_;
      std::byte* const place = memory_.data() + block_ * block_bytes + used_;
      std::memcpy(place, from, static_cast<std::size_t>(n));
      check(cudaMemcpyAsync(to, place, static_cast<std::size_t>(n), cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
      to += n, from += n, bytes -= n;
      // The next one begins at a multiple of 16, as copies like it; block_bytes is one.
      used_ = (used_ + n + 15) / 16 * 16;
    }
  }

 private:
  void next_block(cudaStream_t stream) {
    read_[block_].record(stream);
    block_ = (block_ + 1) % blocks;
    used_ = 0;
    read_[block_].wait();
  }

  PinnedMemory memory_;
  Event read_[blocks] = {Event(cudaEventDisableTiming), Event(cudaEventDisableTiming), Event(cudaEventDisableTiming),
                         Event(cudaEventDisableTiming)};
  std::int64_t block_ = 0, used_ = 0;
};

}  // namespace tinygpt::gpu

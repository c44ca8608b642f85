// Dropout masks for a vector at a time. Twin of cpu/dropout.hpp.
// A vector lies within one group of eight elements, for which one Philox block is drawn.
#pragma once

#include <cstdint>

#include <tinygpt/gpu/device.cuh>
#include <tinygpt/ops/dropout.hpp>

namespace tinygpt::gpu {

/// A use of dropout as a thread sees it: the step is read once, when the mask is made.
class Mask {
 public:
  __device__ __forceinline__ explicit Mask(const Dropout& dropout)
      : threshold_(dropout.threshold), site_(dropout.site), seed_(dropout.seed), ctx_(dropout.ctx) {
    if (dropout) {
      step_ = dropout.step();
      scale_ = dropout.scale();
    }
  }

  __device__ __forceinline__ explicit operator bool() const { return threshold_ != 0; }

  /// The row of the mask for token t of sequence b.
  __device__ __forceinline__ std::int64_t row(std::int64_t b, int t) const { return b * ctx_ + t; }

  /// 0 or scale for the elements column ... column + N - 1 of a row; N divides 8 and the column.
  template <int N> __device__ __forceinline__ Vec<float, N> factors(std::int64_t row, int column, int width) const {
    static_assert(8 % N == 0, "a vector must lie within a group of eight elements");
    const Dropout now{threshold_, site_, seed_, step_, ctx_};
    const auto group = now.numbers(row * Dropout::groups(width) + column / 8);
    const std::uint32_t words[4] = {group[0], group[1], group[2], group[3]};
    Vec<float, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const int at = N == 8 ? i : column % 8 + i;
      const std::uint32_t word = N == 8 ? words[i / 2] : pick(words, at / 2);
      result[i] = (at % 2 != 0 ? word >> 16 : word & 0xFFFFu) >= threshold_ ? scale_ : 0.0f;
    }
    return result;
  }

 private:
  /// words[i] without an index, which would move the words to memory.
  __device__ __forceinline__ static std::uint32_t pick(const std::uint32_t (&words)[4], int i) {
    const std::uint32_t low = i % 2 != 0 ? words[1] : words[0], high = i % 2 != 0 ? words[3] : words[2];
    return i / 2 != 0 ? high : low;
  }

  std::uint32_t threshold_, site_;
  std::uint64_t seed_, step_ = 0;
  std::int64_t ctx_;
  float scale_ = 1.0f;
};

}  // namespace tinygpt::gpu

// Walking the rows of a tensor a vector at a time: how wide an access may be, and which token a row is.
#pragma once

#include <cstdint>

#include <tinygpt/gpu/device.cuh>

namespace tinygpt::gpu {

/// Elements in one access to rows of `Width`: 16 bytes where that divides the row, else the largest power of two that
/// does, so that every row begins at a multiple of it.
template <class E, int Width>
inline constexpr int row_vec = (Width & -Width) < per_vec<E> ? (Width & -Width) : per_vec<E>;

/// Row b * T + t of an activation (B, T, width).
struct Token {
  std::int64_t b;
  int t;
};

/// A division of 64 bits takes six times as long as one of 32, which is enough for every batch that fits a GPU.
__device__ __forceinline__ Token token_of(std::int64_t row, int T) {
  if (row <= 0xFFFF'FFFF) {
    const auto number = static_cast<std::uint32_t>(row), time = static_cast<std::uint32_t>(T);
    return {number / time, static_cast<int>(number % time)};
  }
  return {row / T, static_cast<int>(row % T)};
}

/// Element by element.
template <int N> __device__ __forceinline__ Vec<float, N> operator+(const Vec<float, N>& a, const Vec<float, N>& b) {
  Vec<float, N> sum;
#pragma unroll
  for (int i = 0; i < N; ++i) sum[i] = a[i] + b[i];
  return sum;
}
template <int N> __device__ __forceinline__ Vec<float, N> operator*(const Vec<float, N>& a, const Vec<float, N>& b) {
  Vec<float, N> product;
#pragma unroll
  for (int i = 0; i < N; ++i) product[i] = a[i] * b[i];
  return product;
}

}  // namespace tinygpt::gpu

// Products of a few rows with a transposed matrix, y = x W^T: what decoding does, limited by how fast W can be read.
//
// W is read once, in its own order, transposed in registers and used there; packing it for the microkernel would write
// and read it once more. The sums are the microkernel's: one chain of fused multiply-adds over each block of k.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <tinygpt/cpu/microkernel.hpp>
#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

/// The most rows for which this is quicker than packing.
inline constexpr int few_rows = 8;

/// c[i][j] = or += sum_k a[i * a_stride + k] * w[j * w_stride + k],  i < rows, j < columns <= vector_width, in blocks
/// of `block` terms that are summed one by one.
template <int rows>
TINYGPT_CPU_NOINLINE void multiply_few_rows(std::int64_t depth, int block, const float* a, std::int64_t a_stride,
                                            const float* w, std::int64_t w_stride, int columns, float* c,
                                            std::int64_t c_stride, Accumulate accumulate) {
  Floats total[rows] = {};
  if (accumulate == Accumulate::yes) {
    unroll<rows>([&](auto i) __attribute__((always_inline)) { total[i] = load_first(c + i * c_stride, columns); });
  }
  for (std::int64_t k0 = 0; k0 < depth; k0 += block) {
    const std::int64_t k1 = std::min(depth, k0 + block);
    Floats sum[rows] = {};
    std::int64_t k = k0;
    if (columns == vector_width) {
      for (; k + vector_width <= k1; k += vector_width) {
        Floats square[vector_width];
        unroll<vector_width>([&](auto j) __attribute__((always_inline)) {
          const float* p = w + j * w_stride + k;
          square[j] = load(p);
          __builtin_prefetch(p + vector_width * w_stride, 0, 2);  // where the next columns will be wanted
        });
        transpose(square);
        unroll<vector_width>([&](auto kk) __attribute__((always_inline)) {
          unroll<rows>([&](auto i) __attribute__((always_inline)) {
            sum[i] = fma(broadcast(a[i * a_stride + k + kk]), square[kk], sum[i]);
          });
        });
      }
    }
    for (; k < k1; ++k) {
      Floats column = {};
      for (int j = 0; j < columns; ++j) column[j] = w[j * w_stride + k];
      unroll<rows>([&](auto i) __attribute__((always_inline)) {
        sum[i] = fma(broadcast(a[i * a_stride + k]), column, sum[i]);
      });
    }
    const bool first = k0 == 0 && accumulate == Accumulate::no;
    unroll<rows>([&](auto i) __attribute__((always_inline)) { total[i] = first ? sum[i] : total[i] + sum[i]; });
  }
  unroll<rows>([&](auto i) __attribute__((always_inline)) { store_first(c + i * c_stride, total[i], columns); });
}

using FewRowsKernel = void (*)(std::int64_t, int, const float*, std::int64_t, const float*, std::int64_t, int, float*,
                               std::int64_t, Accumulate);

/// few_rows_kernels[rows - 1].
inline constexpr auto few_rows_kernels = []<int... Index>(std::integer_sequence<int, Index...>) {
  return std::array<FewRowsKernel, few_rows>{multiply_few_rows<Index + 1>...};
}
(std::make_integer_sequence<int, few_rows>{});

}  // namespace tinygpt::cpu

// Products of a few rows with a transposed matrix, y = x W^T: what decoding does, limited by how fast W can be read.
//
// W is read once, in its own order, transposed in registers and used there; packing it for the microkernel would write
// and read it once more. The sums are the microkernel's: one chain of fused multiply-adds over each block of k.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <tinygpt/cpu/microkernel.hpp>
#include <tinygpt/cpu/pack.hpp>
#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

/// The most rows for which this is quicker than packing.
inline constexpr int few_rows = 8;

/// c[i][j] = or += sum_k a[i * a_stride + k] * w[j * w_stride + k],  i < rows, j < columns <= vector_width, in blocks
/// of `block` words that are summed one by one.
template <class E, int rows>
TINYGPT_CPU_NOINLINE void multiply_rows(std::int64_t depth, int block, const E* a, std::int64_t a_stride, const E* w,
                                        std::int64_t w_stride, int columns, float* c, std::int64_t c_stride,
                                        Accumulate accumulate) {
  constexpr int unit = per_word<E>;
  const std::int64_t words = words_of<E>(depth), whole = depth / unit;
  Floats total[rows] = {};
  if (accumulate == Accumulate::yes) {
    unroll<rows>([&](auto i) __attribute__((always_inline)) { total[i] = load_first(c + i * c_stride, columns); });
  }
  for (std::int64_t k0 = 0; k0 < words; k0 += block) {
    const std::int64_t k1 = std::min(words, k0 + block);
    Floats sum[rows] = {};
    std::int64_t k = k0;
    if (columns == vector_width) {
      for (; k + vector_width <= std::min(k1, whole); k += vector_width) {
        Floats square[vector_width];
        unroll<vector_width>([&](auto j) __attribute__((always_inline)) {
          const E* p = w + j * w_stride + k * unit;
          square[j] = load_words(p);
          __builtin_prefetch(p + vector_width * w_stride, 0, 2);  // where the next columns will be wanted
        });
        transpose(square);
        unroll<vector_width>([&](auto kk) __attribute__((always_inline)) {
          unroll<rows>([&](auto i) __attribute__((always_inline)) {
            sum[i] = multiply_add<E>(broadcast_word<E>(a + i * a_stride + (k + kk) * unit), square[kk], sum[i]);
          });
        });
      }
    }
    for (; k < k1; ++k) {
      Floats column = {};
      for (int j = 0; j < columns; ++j) column[j] = word_at(w + j * w_stride + k * unit, depth - k * unit);
      unroll<rows>([&](auto i) __attribute__((always_inline)) {
        const float word = word_at(a + i * a_stride + k * unit, depth - k * unit);
        sum[i] = multiply_add<E>(broadcast_word<E>(&word), column, sum[i]);
      });
    }
    const bool first = k0 == 0 && accumulate == Accumulate::no;
    unroll<rows>([&](auto i) __attribute__((always_inline)) { total[i] = first ? sum[i] : total[i] + sum[i]; });
  }
  unroll<rows>([&](auto i) __attribute__((always_inline)) { store_first(c + i * c_stride, total[i], columns); });
}

/// For 1 to few_rows rows: four at a time, as w's part is in the cache after the first of them.
template <class E>
void multiply_few_rows(int rows, std::int64_t depth, int block, const E* a, std::int64_t a_stride, const E* w,
                       std::int64_t w_stride, int columns, float* c, std::int64_t c_stride, Accumulate accumulate) {
  using Kernel = void (*)(std::int64_t, int, const E*, std::int64_t, const E*, std::int64_t, int, float*, std::int64_t,
                          Accumulate);
  static constexpr Kernel kernels[4] = {multiply_rows<E, 1>, multiply_rows<E, 2>, multiply_rows<E, 3>,
                                        multiply_rows<E, 4>};
  for (; rows > 0; rows -= 4, a += 4 * a_stride, c += 4 * c_stride) {
    kernels[std::min(rows, 4) - 1](depth, block, a, a_stride, w, w_stride, columns, c, c_stride, accumulate);
  }
}

}  // namespace tinygpt::cpu

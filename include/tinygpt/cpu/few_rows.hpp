// Products of a few rows with a transposed matrix, y = x W^T: what decoding does, limited by how fast W can be read.
//
// W is read once, in its own order, transposed in registers and used there; packing it for the microkernel would write
// and read it once more. The sums are the microkernel's: one chain of fused multiply-adds over each block of k.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <tinygpt/cpu/microkernel.hpp>
#include <tinygpt/cpu/pack.hpp>
#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

/// The most rows for which this is quicker than packing (in two passes from nine on).
inline constexpr int few_rows = 16;

/// c[i][j] = or += sum_k a[i * a_stride + k] * w[j * w_stride + k],  i < rows, j < columns, in blocks of `block` words
/// that are summed one by one.
template <class E, int rows>
TINYGPT_CPU_NOINLINE void multiply_rows(std::int64_t depth, int block, const E* a, std::int64_t a_stride, const E* w,
                                        std::int64_t w_stride, std::int64_t columns, float* c, std::int64_t c_stride,
                                        Accumulate accumulate) {
  constexpr int unit = per_word<E>;
  const std::int64_t words = words_of<E>(depth), whole = depth / unit;
  // The next columns are fetched as they lie in memory: one after another where rows of w follow one another.
  const bool stream = w_stride == depth;
  const std::int64_t next_row = stream ? vector_width * unit : w_stride,
                     next_words = stream ? vector_width * unit : unit;
  for (std::int64_t j0 = 0; j0 < columns; j0 += vector_width, w += vector_width * w_stride, c += vector_width) {
    const int width = static_cast<int>(std::min<std::int64_t>(vector_width, columns - j0));
    Floats total[rows] = {};
    if (accumulate == Accumulate::yes) {
      unroll<rows>([&](auto i) __attribute__((always_inline)) { total[i] = load_first(c + i * c_stride, width); });
    }
    for (std::int64_t k0 = 0; k0 < words; k0 += block) {
      const std::int64_t k1 = std::min(words, k0 + block);
      Floats sum[rows] = {};
      std::int64_t k = k0;
      if (width == vector_width) {
        for (; k + vector_width <= std::min(k1, whole); k += vector_width) {
          Floats square[vector_width];
          unroll<vector_width>([&](auto j) __attribute__((always_inline)) {
            square[j] = load_words(w + j * w_stride + k * unit);
            __builtin_prefetch(w + vector_width * w_stride + k * next_words + j * next_row, 0, 2);
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
        for (int j = 0; j < width; ++j) column[j] = word_at(w + j * w_stride + k * unit, depth - k * unit);
        unroll<rows>([&](auto i) __attribute__((always_inline)) {
          const float word = word_at(a + i * a_stride + k * unit, depth - k * unit);
          sum[i] = multiply_add<E>(broadcast_word<E>(&word), column, sum[i]);
        });
      }
      const bool first = k0 == 0 && accumulate == Accumulate::no;
      unroll<rows>([&](auto i) __attribute__((always_inline)) { total[i] = first ? sum[i] : total[i] + sum[i]; });
    }
    unroll<rows>([&](auto i) __attribute__((always_inline)) { store_first(c + i * c_stride, total[i], width); });
  }
}

/// f(size, first) for pieces that make up [0, rows): as many of `largest` as there are, then at most one of each half
/// of it.
template <int largest, class F> void in_pieces(int rows, F&& f, int first = 0) {
  for (; rows - first >= largest; first += largest) f(std::integral_constant<int, largest>{}, first);
  if constexpr (largest > 1) in_pieces<largest / 2>(rows, f, first);
}

/// As multiply_rows, for any number of rows: w, which should be small then, is in the cache after the first piece of them.
template <class E>
void multiply_few_rows(int rows, std::int64_t depth, int block, const E* a, std::int64_t a_stride, const E* w,
                       std::int64_t w_stride, std::int64_t columns, float* c, std::int64_t c_stride, Accumulate accumulate) {
  in_pieces<8>(rows, [&](auto size, int first) {
    multiply_rows<E, size>(depth, block, a + first * a_stride, a_stride, w, w_stride, columns, c + first * c_stride,
                           c_stride, accumulate);
  });
}

/// Asks for the memory that multiply_rows reads first, for which it has not asked itself.
template <class E> void fetch_first_columns(const E* w, std::int64_t w_stride) {
  constexpr std::int64_t line = 64 / sizeof(E);
  for (std::int64_t i = 0; i < vector_width * w_stride; i += line) __builtin_prefetch(w + i, 0, 2);
}

}  // namespace tinygpt::cpu

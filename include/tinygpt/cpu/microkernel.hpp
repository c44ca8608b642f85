// The innermost piece of every matrix product: a tile of the output held in registers.
//
// An element of a product is one chain of fused multiply-adds over k, starting from zero, in every tile shape and
// position; so an element has the same bits whichever tile computes it.
#pragma once

#include <cstdint>
#include <utility>

#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

/// What happens to the old contents of an output.
enum class Accumulate { no, yes };

/// Rows and columns of the largest tile: as many accumulators as leave registers for two vectors of b and one of a.
/// There are kernels for thirds of its rows; who has another number of rows rounds it up, and leaves what comes of the
/// others.
inline constexpr int tile_rows = vector_width == 16 ? 12 : 6;
inline constexpr int tile_step = tile_rows / 3;
inline constexpr int tile_columns = 2 * vector_width;

/// Does the machine multiply bf16 itself, twice as fast as float? (AVX512_BF16; elsewhere it is done in float.)
#if defined(__AVX512BF16__)
inline constexpr bool multiplies_bf16 = true;
#else
inline constexpr bool multiplies_bf16 = false;
#endif

/// How products see their inputs: as words of 32 bits, one float or two numbers in bf16 that are neighbours along k.
/// Words are kept in vectors of floats, which are moved about and never computed with as such.
template <class E> inline constexpr int per_word = static_cast<int>(sizeof(float) / sizeof(E));

/// The word at p in each lane.
template <class E> TINYGPT_CPU_INLINE Floats broadcast_word(const void* p) {
  if constexpr (per_word<E> == 1) {
    float number;
    __builtin_memcpy(&number, p, sizeof number);
    return broadcast(number);
  } else {
    std::int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return from_bits(broadcast(word));
  }
}

/// a b + c, of the words a and b: for bf16 the sum of both products and c.
template <class E> TINYGPT_CPU_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
  if constexpr (per_word<E> == 1) return fma(a, b, c);
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(c, std::bit_cast<__m512bh>(a), std::bit_cast<__m512bh>(b));
#else
  constexpr auto upper = static_cast<std::int32_t>(0xFFFF0000u);
  const Floats low = fma(from_bits(bits(a) << 16), from_bits(bits(b) << 16), c);
  return fma(from_bits(bits(a) & upper), from_bits(bits(b) & upper), low);
#endif
}

/// c[i][j] = (or +=)  sum_{k < depth} a[i * row_stride + k * k_stride] * b[k * b_stride + j]
///
/// for i < rows, j < vectors * vector_width, where k counts words of E's. The a strides are constants, so that every
/// operand of the inner loop is one address register and a displacement.
template <class E, int rows, int vectors, int row_stride, int k_stride, int b_stride>
TINYGPT_CPU_NOINLINE void multiply_tile(std::int64_t depth, const float* a, const float* b, float* c,
                                        std::int64_t c_stride, Accumulate accumulate) {
  Floats sum[rows][vectors] = {};
  for (std::int64_t k = 0; k < depth; ++k, a += k_stride, b += b_stride) {
    Floats b_row[vectors];
    unroll<vectors>([&](auto v) __attribute__((always_inline)) { b_row[v] = load(b + v * vector_width); });
    unroll<rows>([&](auto i) __attribute__((always_inline)) {
      const Floats a_element = broadcast_word<E>(a + i * row_stride);
      unroll<vectors>([&](auto v) __attribute__((always_inline)) {
        sum[i][v] = multiply_add<E>(a_element, b_row[v], sum[i][v]);
      });
    });
  }
  unroll<rows>([&](auto i) __attribute__((always_inline)) {
    unroll<vectors>([&](auto v) __attribute__((always_inline)) {
      float* out = c + i * c_stride + v * vector_width;
      store(out, accumulate == Accumulate::yes ? load(out) + sum[i][v] : sum[i][v]);
    });
  });
}

using TileKernel = void (*)(std::int64_t, const float*, const float*, float*, std::int64_t, Accumulate);

/// The kernel for at least so many rows, and 1 or 2 vectors of columns, of one layout of a and b.
template <class E, int row_stride, int k_stride, int b_stride> TileKernel tile_kernel(int rows, int vectors) {
  static constexpr TileKernel kernels[3][2] = {{multiply_tile<E, tile_step, 1, row_stride, k_stride, b_stride>,
                                                multiply_tile<E, tile_step, 2, row_stride, k_stride, b_stride>},
                                               {multiply_tile<E, 2 * tile_step, 1, row_stride, k_stride, b_stride>,
                                                multiply_tile<E, 2 * tile_step, 2, row_stride, k_stride, b_stride>},
                                               {multiply_tile<E, tile_rows, 1, row_stride, k_stride, b_stride>,
                                                multiply_tile<E, tile_rows, 2, row_stride, k_stride, b_stride>}};
  return kernels[(rows - 1) / tile_step][vectors - 1];
}

}  // namespace tinygpt::cpu

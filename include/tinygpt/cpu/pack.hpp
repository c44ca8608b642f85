// Copies of matrix blocks in the order in which the microkernel reads them, in its words (microkernel.hpp). Where a sum
// has an odd number of terms, the last word of bf16 is filled up with a zero.
#pragma once

#include <algorithm>
#include <cstdint>

#include <tinygpt/cpu/microkernel.hpp>
#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

/// Words that `count` E's fill.
template <class E> constexpr int words_of(std::int64_t count) {
  return static_cast<int>((count + per_word<E> - 1) / per_word<E>);
}

/// The word at p, of whose numbers `left` or more are there.
template <class E> TINYGPT_CPU_INLINE float word_at(const E* p, std::int64_t left) {
  float word = 0;
  __builtin_memcpy(&word, p, left < per_word<E> ? sizeof(E) : sizeof word);
  return word;
}

/// vector_width words from p on, which are all there.
template <class E> TINYGPT_CPU_INLINE Floats load_words(const E* p) {
  Floats words;
  __builtin_memcpy(&words, p, sizeof words);
  return words;
}

/// to[c * to_stride + r] = word c of row r of `from`, for r < rows <= vector_width and rows of `columns` numbers; the
/// lanes r >= rows are written as zeros, so `to` has vector_width words in each of its rows.
template <class E>
void pack_transposed_strip(float* to, std::int64_t to_stride, const E* from, std::int64_t from_stride, int rows,
                           int columns) {
  const int words = words_of<E>(columns), whole = columns / per_word<E>;
  int c = 0;
  if (rows == vector_width && whole >= vector_width) {
    while (c < whole) {
      c = std::min(c, whole - vector_width);  // the last square may overlap the one before it
      Floats square[vector_width];
      unroll<vector_width>([&](auto r) __attribute__((always_inline)) {
        square[r] = load_words(from + r * from_stride + c * per_word<E>);
      });
      transpose(square);
      unroll<vector_width>([&](auto r) __attribute__((always_inline)) { store(to + (c + r) * to_stride, square[r]); });
      c += vector_width;
    }
  }
  for (; c < words; ++c) {
    float* row = to + c * to_stride;
    for (int r = 0; r < rows; ++r)
      row[r] = word_at(from + r * from_stride + c * per_word<E>, columns - c * per_word<E>);
    for (int r = rows; r < vector_width; ++r) row[r] = 0;
  }
}

/// to[r * to_stride + c] = word c of row r, for rows of `columns` numbers.
template <class E>
void pack_rows(float* to, std::int64_t to_stride, const E* from, std::int64_t from_stride, int rows, int columns) {
  const int words = words_of<E>(columns), whole = columns / per_word<E>;
  for (int r = 0; r < rows; ++r, to += to_stride, from += from_stride) {
    int c = 0;
    while (c < whole && whole >= vector_width) {
      c = std::min(c, whole - vector_width);  // the last vector may overlap the one before it
      store(to + c, load_words(from + c * per_word<E>));
      c += vector_width;
    }
    for (; c < words; ++c) to[c] = word_at(from + c * per_word<E>, columns - c * per_word<E>);
  }
}

namespace detail {

/// The first `count` <= vector_width words of a row of words.
TINYGPT_CPU_INLINE Floats words_of_rows(const float* row, std::int64_t, bool, int count) {
  return count == vector_width ? load(row) : load_first(row, count);
}
/// Of two rows in bf16: the words of both. The second is zeros where it is not there.
TINYGPT_CPU_INLINE Floats words_of_rows(const bfloat16* row, std::int64_t stride, bool both, int count) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(bfloat16);
  Halves low = {}, high = {};
  if (count == vector_width) {
    __builtin_memcpy(&low, row, sizeof low);
    if (both) __builtin_memcpy(&high, row + stride, sizeof high);
  } else {
    __builtin_memcpy(&low, row, bytes);
    if (both) __builtin_memcpy(&high, row + stride, bytes);
  }
  return std::bit_cast<Floats>(joined(low, high));
}

}  // namespace detail

/// to[p * to_stride + j] = the word of the p-th row, or pair of rows, of `from` in column j, j < columns <= width;
/// zeros in the columns after them. Of each row `readable` >= columns numbers may be read; `to` may be written up to a
/// whole vector beyond its last row.
template <int width, class E>
void pack_word_rows(float* to, std::int64_t to_stride, const E* from, std::int64_t stride, int rows, int columns,
                    std::int64_t readable) {
  // A tile whose width is no whole number of vectors is read beyond, where there is something: the next row of `to`
  // overwrites what is too much.
  const int whole =
      columns == width && readable >= width + vector_width ? width : columns / vector_width * vector_width;
  for (int k = 0; k < rows; k += per_word<E>, to += to_stride, from += per_word<E> * stride) {
    const bool both = k + 1 < rows;
    int j = 0;
    for (; j < whole; j += vector_width) store(to + j, detail::words_of_rows(from + j, stride, both, vector_width));
    for (; j < width; j += vector_width) {
      store(to + j, detail::words_of_rows(from + j, stride, both, std::clamp(columns - j, 0, vector_width)));
    }
  }
}

}  // namespace tinygpt::cpu

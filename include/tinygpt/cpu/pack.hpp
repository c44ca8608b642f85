// Copies of matrix blocks in the order in which the microkernel reads them.
#pragma once

#include <cstdint>

#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

/// to[c * to_stride + r] = from[r * from_stride + c] for r < rows <= vector_width and c < columns; the lanes r >= rows
/// are written as zeros, so `to` has vector_width floats in each of its rows.
inline void pack_transposed_strip(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride,
                                  int rows, int columns) {
  int c = 0;
  if (rows == vector_width) {
    for (; c + vector_width <= columns; c += vector_width) {
      Floats square[vector_width];
      unroll<vector_width>([&](auto r)
                               __attribute__((always_inline)) { square[r] = load(from + r * from_stride + c); });
      transpose(square);
      unroll<vector_width>([&](auto r) __attribute__((always_inline)) { store(to + (c + r) * to_stride, square[r]); });
    }
  }
  for (; c < columns; ++c) {
    float* row = to + c * to_stride;
    for (int r = 0; r < rows; ++r) row[r] = from[r * from_stride + c];
    for (int r = rows; r < vector_width; ++r) row[r] = 0;
  }
}

/// to[r * to_stride + c] = from[r * from_stride + c], zeros in columns <= c < padded_columns.
inline void pack_rows(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride, int rows,
                      int columns, int padded_columns) {
  for (int r = 0; r < rows; ++r, to += to_stride, from += from_stride) {
    int c = 0;
    for (; c + vector_width <= columns; c += vector_width) store(to + c, load(from + c));
    for (; c < columns; ++c) to[c] = from[c];
    for (; c < padded_columns; ++c) to[c] = 0;
  }
}

}  // namespace tinygpt::cpu

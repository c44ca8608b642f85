// Pieces of attention on blocks of 64 queries by 64 keys, shared by training and decoding so that both get the same
// bits.
//
// Everything lives in panels of squares, 64 x 64 words or floats, one after another, always with the constant strides
// that the microkernel wants. Of 64 rows of head_dim numbers there are three forms: in words as they lie (rows), those
// turned (columns), and in words of two rows (pairs); in float32, where a word is one number, rows and pairs are the
// same. Sums and scores are floats.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include <tinygpt/cpu/dropout.hpp>
#include <tinygpt/cpu/few_rows.hpp>
#include <tinygpt/cpu/math.hpp>
#include <tinygpt/cpu/microkernel.hpp>
#include <tinygpt/cpu/pack.hpp>
#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu::detail {

inline constexpr int attention_block = 64;
inline constexpr int square_floats = attention_block * attention_block;

constexpr int panel_squares(int head_dim) { return (head_dim + attention_block - 1) / attention_block; }
constexpr std::int64_t panel_floats(int head_dim) { return std::int64_t{panel_squares(head_dim)} * square_floats; }

/// On the diagonal, query i sees keys 0..i of the block; elsewhere it sees all of them. Tiles of a product that lie
/// above the diagonal, and terms of a sum that are known to be zeros, are left out; adding them would not change a bit.
enum class Reach { all, diagonal };

/// c (rows, columns) = or += a b, all of them squares, of which rows after the last may be written; words [depth_begin,
/// depth_end) of the sum, tile by tile: range(first_row, end_row) returns {column_end, depth_begin, depth_end}.
struct TileRange {
  int column_end, depth_begin, depth_end;
};

template <class E, int row_stride, int k_stride, class Range>
void multiply_squares(int rows, const float* a, const float* b, float* c, Accumulate accumulate, Range range) {
  for (int i = 0; i < rows; i += tile_rows) {
    const int count = std::min(tile_rows, rows - i);
    const TileRange tile = range(i, i + count);
    const float* a_tile = a + i * row_stride + tile.depth_begin * k_stride;
    const float* b_tile = b + tile.depth_begin * attention_block;
    float* c_tile = c + i * attention_block;
    for (int j = 0; j < tile.column_end; j += tile_columns) {
      const int vectors = tile.column_end - j > vector_width ? 2 : 1;
      tile_kernel<E, row_stride, k_stride, attention_block>(count, vectors)(
          tile.depth_end - tile.depth_begin, a_tile, b_tile + j, c_tile + j, attention_block, accumulate);
    }
  }
}

/// scores (rows, keys) = a (rows, head_dim) * b (keys, head_dim)^T, of a's rows and b's columns.
template <class E>
void multiply_scores(int rows, int keys, int head_dim, const float* a_rows, const float* b_columns, float* scores,
                     Reach reach) {
  const int words = words_of<E>(head_dim);
  for (int d = 0; d < words; d += attention_block) {
    const int depth = std::min(attention_block, words - d);
    multiply_squares<E, attention_block, 1>(
        rows, a_rows + d * attention_block, b_columns + d * attention_block, scores,
        d == 0 ? Accumulate::no : Accumulate::yes, [=](int, int end) {
          return TileRange{reach == Reach::diagonal ? std::min(end, keys) : keys, 0, depth};
        });
  }
}

/// out (rows, head_dim) = or += weights (rows, keys) * b (keys, head_dim), of the weights' rows and b's pairs.
template <class E>
void multiply_weights(int rows, int keys, int head_dim, const float* weight_rows, const float* b_pairs, float* out,
                      Accumulate accumulate, Reach reach) {
  for (int d = 0; d < head_dim; d += attention_block) {
    const int columns = std::min(attention_block, head_dim - d);
    multiply_squares<E, attention_block, 1>(
        rows, weight_rows, b_pairs + d * attention_block, out + d * attention_block, accumulate, [=](int, int end) {
          return TileRange{columns, 0, words_of<E>(reach == Reach::diagonal ? std::min(end, keys) : keys)};
        });
  }
}

/// As multiply_weights, of a few rows and of `vectors` vectors of b's columns, of which `columns` are there; b as it
/// lies.
template <class E, int rows, int vectors>
TINYGPT_CPU_NOINLINE void multiply_weights_by_rows(int keys, int columns, const float* weight_rows, const E* b,
                                                   std::int64_t stride, float* out, Accumulate accumulate) {
  Floats sum[rows][vectors] = {};
  for (int k = 0; k < keys; k += per_word<E>, ++weight_rows, b += per_word<E> * stride) {
    unroll<vectors>([&](auto v) __attribute__((always_inline)) {
      const int count = vectors == 1 ? columns : vector_width;
      const Floats words = cpu::detail::words_of_rows(b + v * vector_width, stride, k + 1 < keys, count);
      unroll<rows>([&](auto i) __attribute__((always_inline)) {
        sum[i][v] = multiply_add<E>(broadcast_word<E>(weight_rows + i * attention_block), words, sum[i][v]);
      });
    });
  }
  unroll<rows>([&](auto i) __attribute__((always_inline)) {
    unroll<vectors>([&](auto v) __attribute__((always_inline)) {
      float* to = out + i * attention_block + v * vector_width;
      store(to, accumulate == Accumulate::yes ? load(to) + sum[i][v] : sum[i][v]);
    });
  });
}

/// As multiply_weights, of a few rows, without a copy of b (keys, head_dim).
template <class E>
void multiply_weights_in_place(int rows, int keys, int head_dim, const float* weight_rows, const E* b,
                               std::int64_t stride, float* out, Accumulate accumulate) {
  constexpr int vectors = attention_block / vector_width;
  for (int d = 0; d < head_dim;) {
    const int columns = d % attention_block == 0 && head_dim - d >= attention_block
                            ? attention_block
                            : std::min(vector_width, head_dim - d);
    float* const to = out + d / attention_block * square_floats + d % attention_block;
    in_pieces<4>(rows, [&](auto size, int first) {
      const auto multiply = columns == attention_block ? multiply_weights_by_rows<E, size, vectors>
                                                       : multiply_weights_by_rows<E, size, 1>;
      multiply(keys, columns, weight_rows + first * attention_block, b + d, stride, to + first * attention_block,
               accumulate);
    });
    d += columns;
  }
}

/// out (keys, head_dim) = or += weights^T (keys, rows) * b (rows, head_dim), of the pairs of both.
template <class E>
void multiply_weights_transposed(int rows, int keys, int head_dim, const float* weight_pairs, const float* b_pairs,
                                 float* out, Accumulate accumulate, Reach reach) {
  for (int d = 0; d < head_dim; d += attention_block) {
    const int columns = std::min(attention_block, head_dim - d);
    multiply_squares<E, 1, attention_block>(
        keys, weight_pairs, b_pairs + d * attention_block, out + d * attention_block, accumulate, [=](int begin, int) {
          return TileRange{columns, reach == Reach::diagonal ? begin / per_word<E> : 0, words_of<E>(rows)};
        });
  }
}

/// Rows of head_dim numbers, in words as they lie.
template <class E> void pack_panel_rows(float* panel, const E* from, std::int64_t stride, int rows, int head_dim) {
  constexpr int numbers = attention_block * per_word<E>;  // in a row of a square
  for (int d = 0; d < head_dim; d += numbers) {
    pack_rows(panel + d / per_word<E> * attention_block, attention_block, from + d, stride, rows,
              std::min(numbers, head_dim - d));
  }
}

/// The same rows, in words of two rows; zeros up to a whole vector on the right.
template <class E> void pack_panel_pairs(float* panel, const E* from, std::int64_t stride, int rows, int head_dim) {
  for (int d = 0; d < head_dim; d += attention_block) {
    pack_word_rows<attention_block>(panel + d * attention_block, attention_block, from + d, stride, rows,
                                    std::min(attention_block, head_dim - d), head_dim - d);
  }
}

/// The same rows as columns: (words of head_dim, 64); zeros up to a whole vector on the right.
template <class E> void pack_panel_columns(float* panel, const E* from, std::int64_t stride, int rows, int head_dim) {
  for (int r = 0; r < rows; r += vector_width) {
    pack_transposed_strip(panel + r, attention_block, from + r * stride, stride, std::min(vector_width, rows - r),
                          head_dim);
  }
}

/// A square of floats, rounded, as rows: in `to`, or where it is.
template <class E> const float* square_rows(float* to, const float* square, int rows) {
  if constexpr (per_word<E> == 1) {
    return square;
  } else {
    for (int r = 0; r < rows; ++r) {
      E row[attention_block];
      for (int c = 0; c < attention_block; c += vector_width) store(row + c, load(square + r * attention_block + c));
      __builtin_memcpy(to + r * attention_block, row, sizeof row);
    }
    return to;
  }
}

/// A square of floats, rounded, as pairs: in `to`, or where it is.
template <class E> const float* square_pairs(float* to, const float* square, int rows) {
  if constexpr (per_word<E> == 1) {
    return square;
  } else {
    for (int r = 0; r < rows; r += 2) {
      for (int c = 0; c < attention_block; c += vector_width) {
        const float* at = square + r * attention_block + c;
        const Words low = std::bit_cast<Words>(rounded<E>(load(at))) >> 16;
        const Words high = r + 1 < rows ? std::bit_cast<Words>(rounded<E>(load(at + attention_block))) : low * 0;
        store(to + r / 2 * attention_block + c, std::bit_cast<Floats>(low | high));
      }
    }
    return to;
  }
}

/// out[r][d] = panel[r][d] * factors[r].
template <class E>
void unpack_panel(E* out, std::int64_t out_stride, const float* panel, int rows, int head_dim, const float* factors) {
  for (int d = 0; d < head_dim; d += attention_block) {
    const int columns = std::min(attention_block, head_dim - d);
    const float* from = panel + d * attention_block;
    for (int r = 0; r < rows; ++r, from += attention_block) {
      E* row = out + r * out_stride + d;
      for (int c = 0; c < columns; c += vector_width) {
        const int count = std::min(vector_width, columns - c);
        const Floats x = load(from + c) * factors[r];
        count == vector_width ? store(row + c, x) : store_first(row + c, x, count);
      }
    }
  }
}

inline constexpr int row_vectors = attention_block / vector_width;

/// A row of a block of scores, times scale; -inf from `valid` on.
TINYGPT_CPU_INLINE void load_scores(Floats (&x)[row_vectors], const float* scores, int valid, float scale) {
  unroll<row_vectors>([&](auto v) __attribute__((always_inline)) {
    x[v] = load(scores + v * vector_width) * scale;
    if (valid < attention_block) {
      x[v] = select(iota() < valid - v * vector_width, x[v], broadcast(-std::numeric_limits<float>::infinity()));
    }
  });
}

/// Combines vector_width vectors of lanes into one whose lane i is the combination of the lanes of x[i]: each round
/// halves the number of vectors. The order is the same for every row.
template <int count, class Combine>
TINYGPT_CPU_INLINE Floats combine_lanes(Floats (&x)[vector_width], Combine combine) {
  if constexpr (count == 1) {
    return x[0];
  } else {
    constexpr int half = count / 2;
    unroll<half>([&](auto i) __attribute__((always_inline)) {
      exchange<half>(x[i], x[i + half], std::make_integer_sequence<int, vector_width>{});
      x[i] = combine(x[i], x[i + half]);
    });
    return combine_lanes<half>(x, combine);
  }
}

template <class Combine> TINYGPT_CPU_INLINE Floats combine_row(const Floats (&x)[row_vectors], Combine combine) {
  Floats even = x[0], odd = x[1];
  unroll<row_vectors / 2 - 1>([&](auto v) __attribute__((always_inline)) {
    even = combine(even, x[2 * v + 2]);
    odd = combine(odd, x[2 * v + 3]);
  });
  return combine(even, odd);
}

/// What online softmax knows of each of 64 rows: the largest score and the sum of e^(score - largest) so far.
struct SoftmaxState {
  alignas(64) float largest[attention_block];
  alignas(64) float sum[attention_block];

  void reset() {
    std::fill_n(largest, attention_block, -std::numeric_limits<float>::infinity());
    std::fill_n(sum, attention_block, 0.0f);
  }
};

/// Online softmax over one more block of keys. Scores, which count times scale, become weights e^(score - largest), 0
/// from valid[r] on; shrink[r] is what the row's earlier weights, and so its output, are to be multiplied by. The first
/// block must have a valid key in every row. Source: Milakov, Gimelshein 2018 (arXiv:1805.02867), algorithm 3.
///
/// Rows go vector_width at a time, so that their maxima and sums end up side by side in one vector.
TINYGPT_CPU_NOINLINE inline void softmax_block(SoftmaxState& state, float* scores, int rows, const int* valid,
                                               float scale, float* shrink) {
  const auto larger = [](Floats a, Floats b) __attribute__((always_inline)) { return max(a, b); };
  const auto plus = [](Floats a, Floats b) __attribute__((always_inline)) { return a + b; };
  for (int r0 = 0; r0 < rows; r0 += vector_width) {
    const int count = std::min(vector_width, rows - r0);
    float* first = scores + r0 * attention_block;
    Floats partial[vector_width] = {};
    for (int r = 0; r < count; ++r) {
      Floats x[row_vectors];
      load_scores(x, first + r * attention_block, valid[r0 + r], scale);
      partial[r] = combine_row(x, larger);
    }
    const Floats old = load(state.largest + r0);
    const Floats largest = max(combine_lanes<vector_width>(partial, larger), old);
    store(state.largest + r0, largest);
    for (int r = 0; r < count; ++r) {
      float* row = first + r * attention_block;
      const Floats row_largest = broadcast(state.largest[r0 + r]);
      Floats x[row_vectors];
      load_scores(x, row, valid[r0 + r], scale);
      unroll<row_vectors>([&](auto v) __attribute__((always_inline)) {
        x[v] = v * vector_width < valid[r0 + r] ? exp_weight(x[v] - row_largest) : Floats{};
        store(row + v * vector_width, x[v]);
      });
      partial[r] = combine_row(x, plus);
    }
    const Floats factor = exp_weight(old - largest);
    store(shrink + r0, factor);
    store(state.sum + r0, fma(load(state.sum + r0), factor, combine_lanes<vector_width>(partial, plus)));
  }
}

/// Rows of a panel times one factor each.
TINYGPT_CPU_NOINLINE inline void scale_panel(float* panel, int rows, int head_dim, const float* factors) {
  for (int d = 0; d < head_dim; d += attention_block) {
    const int columns = std::min(attention_block, head_dim - d);
    for (int r = 0; r < rows; ++r) {
      float* row = panel + (d + r) * attention_block;
      for (int c = 0; c < columns; c += vector_width) store(row + c, load(row + c) * factors[r]);
    }
  }
}

/// factors (rows, 64): elements (row + r, column + c) of a dropout mask, times its scale.
inline void mask_block(float* factors, const Dropout& dropout, std::int64_t row, std::int64_t column,
                       std::int64_t width, int rows) {
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < attention_block; c += dropout_span) {
      Floats part[4];
      dropout_factors(dropout, row + r, column + c, width, part);
      unroll<4>([&](auto v) __attribute__((always_inline)) {
        store(factors + r * attention_block + c + v * vector_width, part[v]);
      });
    }
  }
}

}  // namespace tinygpt::cpu::detail

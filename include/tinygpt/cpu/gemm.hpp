// Matrix products of float32 or bf16, summed in float32: C = A B and C += A B, any of A and B transposed.
//
// Strategy: a task is a tile of C with its whole sum. It walks k in blocks of block_depth; for each it packs its rows
// of A once, and runs the microkernel over them and a group of columns of B at a time. Where several tiles lie above
// one another, B is packed before, by all threads, for all of them.
//
// bf16 goes through the same code in words of two numbers (microkernel.hpp). A product that is itself to be in bf16 is
// summed in scratch and rounded once, when it is whole.
//
// Where the build has oneDNN, it multiplies the tiles instead (onednn.hpp), but for products of few rows.
//
// Reproducibility: without oneDNN, an element of C is sum_p (chain of fused multiply-adds over the p-th block of k),
// added in the order of p. Neither its place in C, nor m, nor n, nor the number of threads enters; so one row computed
// alone has the bits that it has among thousands.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <tinygpt/cpu/context.hpp>
#include <tinygpt/cpu/few_rows.hpp>
#include <tinygpt/cpu/microkernel.hpp>
#include <tinygpt/cpu/onednn.hpp>
#include <tinygpt/cpu/pack.hpp>
#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

enum class Layout { as_stored, transposed };

/// An input of a product. as_stored: element (i, j) is data[i * stride + j]; transposed: data[j * stride + i].
template <class E> struct Operand {
  const E* data;
  std::int64_t stride;
  Layout layout;
};

template <class E> Operand<E> as_stored(const E* data, std::int64_t stride) {
  return {data, stride, Layout::as_stored};
}
template <class E> Operand<E> transposed(const E* data, std::int64_t stride) {
  return {data, stride, Layout::transposed};
}

/// The epilogue that does nothing.
struct NoEpilogue {
  void operator()(std::int64_t, std::int64_t, std::int64_t, float*) const {}
};

namespace detail {

inline constexpr int block_depth = 256;        // words of k; fixes the rounding, see the top of the file
inline constexpr int max_block_rows = 384;     // of A in scratch: 384 KiB, more than half of a 1 MiB cache with B's
inline constexpr int max_block_columns = 384;  // of C in one task; larger tiles pack less
inline constexpr int wide_block_rows = 96;     // of A where a task has many columns
inline constexpr int max_summed = 96 * 768;    // of C in one task where it is in scratch too: 288 KiB
inline constexpr std::int64_t max_packed = 1 << 20;  // words of B that are packed for several tiles: 4 MiB
inline constexpr std::int64_t task_bytes = 4 << 20;  // of W in a product of few rows, for each task of a thread
inline constexpr int group_columns = 64;             // of B in scratch: 64 KiB, used while still warm

static_assert(max_block_rows % tile_rows == 0 && group_columns % tile_columns == 0);

/// Floats from one packed tile of A to the next: what packing writes beyond a tile is not the next one's.
inline constexpr int packed_tile = tile_rows * block_depth + vector_width;
constexpr std::int64_t packed_rows(int rows) { return std::int64_t{rows / tile_rows} * packed_tile; }

struct Blocks {
  int rows, columns;  // of one task's tile of C
  std::int64_t row_count, tasks;
};

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// How B (k, n) is packed for several tiles, k in words: `strip` columns at a time, of `words` words each; 0 columns where
/// not even one group fits.
struct Packing {
  std::int64_t strip, words;
  constexpr std::int64_t floats() const { return strip * words; }
};
constexpr Packing packing_of(std::int64_t n, std::int64_t k_words) {
  const std::int64_t words = divide_up(std::max<std::int64_t>(k_words, 1), block_depth) * block_depth;
  return {std::min(divide_up(n, group_columns), max_packed / words / group_columns) * group_columns, words};
}

/// Tiles as large as the caches allow, and smaller where there would be too few for the threads to finish together.
inline Blocks choose_blocks(std::int64_t m, std::int64_t n, int threads, int max_rows, int max_columns) {
  const auto split = [](std::int64_t size, std::int64_t parts, int unit) {
    return static_cast<int>(divide_up(divide_up(size, parts), unit) * unit);
  };
  std::int64_t row_parts = divide_up(m, max_rows);
  std::int64_t column_parts = divide_up(n, m <= tile_rows ? 2 * tile_columns : max_columns);
  while (threads > 1 && row_parts * column_parts < 6 * threads) {
    const int rows = split(m, row_parts, tile_rows);
    const int columns = split(n, column_parts, tile_columns);
    if (rows >= 2 * columns && rows > 4 * tile_rows) {
      ++row_parts;
    } else if (columns > 2 * tile_columns) {
      ++column_parts;
    } else if (rows > 4 * tile_rows) {
      ++row_parts;
    } else {
      break;
    }
  }
  const int rows = split(m, row_parts, tile_rows);
  const int columns = split(n, column_parts, tile_columns);
  const std::int64_t row_count = divide_up(m, rows);
  return {rows, columns, row_count, row_count * divide_up(n, columns)};
}

/// `rows` rows of A from `row` on, words of `depth` columns from k on: tile after tile of tile_rows rows. as_stored:
/// (tile_rows, block_depth); transposed: (block_depth, tile_rows). A has `readable` rows from `row` on.
template <class E>
void pack_a(float* to, const Operand<E>& a, std::int64_t row, std::int64_t k, int rows, int depth,
            std::int64_t readable) {
  if (a.layout == Layout::as_stored) {
    for (int i = 0; i < rows; i += tile_rows, to += packed_tile) {
      pack_rows(to, block_depth, a.data + (row + i) * a.stride + k, a.stride, std::min(tile_rows, rows - i), depth);
    }
    return;
  }
  constexpr int strip = 16 * per_word<E>;  // of k at a time: long enough runs in both arrays
  for (int k0 = 0; k0 < depth; k0 += strip) {
    for (int i = 0; i < rows; i += tile_rows) {
      pack_word_rows<tile_rows>(to + packed_rows(i) + k0 / per_word<E> * tile_rows, tile_rows,
                                a.data + (k + k0) * a.stride + row + i, a.stride, std::min(strip, depth - k0),
                                std::min(tile_rows, rows - i), readable - i);
    }
  }
}

/// Columns [column, column + columns) of B, words of rows [k, k + depth): sliver after sliver (block_depth,
/// tile_columns), zeros to the right of the last column.
template <class E>
void pack_b(float* to, const Operand<E>& b, std::int64_t k, std::int64_t column, int depth, int columns) {
  if (b.layout == Layout::as_stored) {
    constexpr int strip = 16 * per_word<E>;
    for (int k0 = 0; k0 < depth; k0 += strip) {
      for (int j = 0; j < columns; j += tile_columns) {
        pack_word_rows<tile_columns>(to + static_cast<std::int64_t>(j) * block_depth + k0 / per_word<E> * tile_columns,
                                     tile_columns, b.data + (k + k0) * b.stride + column + j, b.stride,
                                     std::min(strip, depth - k0), std::min(tile_columns, columns - j), columns - j);
      }
    }
    return;
  }
  for (int j = 0; j < columns; j += vector_width) {
    float* sliver = to + static_cast<std::int64_t>(j / tile_columns) * tile_columns * block_depth + j % tile_columns;
    pack_transposed_strip(sliver, tile_columns, b.data + (column + j) * b.stride + k, b.stride,
                          std::min(vector_width, columns - j), depth);
  }
}

/// The part of a matrix that begins at (row, column), as oneDNN is told of it.
template <class E> onednn::Matrix<E> part_of(const Operand<E>& x, std::int64_t row, std::int64_t column) {
  if (x.layout == Layout::as_stored) return {x.data + row * x.stride + column, x.stride, 1};
  return {x.data + column * x.stride + row, 1, x.stride};
}

/// One sliver of packed B times the packed rows of A; depth in words.
template <class E>
void multiply_sliver(int rows, int columns, int depth, const float* a, Layout a_layout, const float* b, float* c,
                     std::int64_t c_stride, Accumulate accumulate) {
  const int vectors = columns > vector_width ? 2 : 1;
  for (int i = 0; i < rows; i += tile_rows) {
    const int count = std::min(tile_rows, rows - i);
    const TileKernel kernel = a_layout == Layout::as_stored
                                  ? tile_kernel<E, block_depth, 1, tile_columns>(count, vectors)
                                  : tile_kernel<E, 1, tile_rows, tile_columns>(count, vectors);
    const float* a_tile = a + packed_rows(i);
    float* c_tile = c + i * c_stride;
    if (columns == vectors * vector_width && count % tile_step == 0) {
      kernel(depth, a_tile, b, c_tile, c_stride, accumulate);
      continue;
    }
    alignas(64) float edge[tile_rows * tile_columns];
    kernel(depth, a_tile, b, edge, tile_columns, Accumulate::no);
    for (int r = 0; r < count; ++r) {
      for (int j = 0; j < columns; ++j) {
        float& out = c_tile[r * c_stride + j];
        out = accumulate == Accumulate::yes ? out + edge[r * tile_columns + j] : edge[r * tile_columns + j];
      }
    }
  }
}

}  // namespace detail

/// Floats of each thread's scratch that a product takes, rounded to bf16 or not.
inline constexpr std::int64_t gemm_scratch = std::int64_t{detail::group_columns} * detail::block_depth +
                                             detail::packed_rows(detail::max_block_rows) + detail::max_summed;

/// Floats of shared scratch that a product takes at most, and that one with B (k, n) takes.
inline constexpr std::int64_t gemm_shared_scratch = detail::max_packed;
constexpr std::int64_t gemm_shared_scratch_of(std::int64_t n, std::int64_t k) { return detail::packing_of(n, k).floats(); }

/// Matrix product.
///
///   C = A B  or  C += A B,    then epilogue(row, column_begin, column_end, sums)
///
///   a  (m, k)   b  (k, n)   c  (m, n), rows c_stride apart
///
/// The three products of a linear layer y = x W^T, with x (M, K), W (N, K):
///
///   gemm(ctx, M, N, K, as_stored(x, K), transposed(w, K), y, N);
///   gemm(ctx, M, K, N, as_stored(dy, N), as_stored(w, K), dx, K);
///   gemm(ctx, N, K, M, transposed(dy, N), as_stored(x, K), dw, K, Accumulate::yes);
///
/// E is float or bfloat16, and so is C; only floats are accumulated into. The epilogue is called once for each piece of
/// a row of C, from the thread that computed it, when the piece is finished and still in its cache; `sums` are its
/// floats, which it may change, and which then become C's. FLOPs 2 m n k. No allocation. c must not overlap a or b.
/// Where k is 0, the product is a matrix of zeros.
template <class E, class C, class Epilogue = NoEpilogue>
void gemm(Workers& ctx, std::int64_t m, std::int64_t n, std::int64_t k, const Operand<E>& a, const Operand<E>& b, C* c,
          std::int64_t c_stride, Accumulate accumulate = Accumulate::no, const Epilogue& epilogue = {}) {
  using namespace detail;
  constexpr bool in_place = std::is_same_v<C, float>;
  constexpr bool ends = !in_place || !std::is_same_v<Epilogue, NoEpilogue>;
  if (m <= 0 || n <= 0) return;
  const auto finish = [&](std::int64_t row, std::int64_t begin, std::int64_t end, float* sums) {
    if constexpr (!std::is_same_v<Epilogue, NoEpilogue>) epilogue(row, begin, end, sums);
    if constexpr (!in_place) {
      C* const out = c + row * c_stride + begin;
      along(end - begin, [&](Lanes lanes) { lanes.store(out, lanes.load(sums)); });
    }
  };
  if (m <= few_rows && a.layout == Layout::as_stored && b.layout == Layout::transposed) {
    // Tasks are ranges of columns that lie together, so that each thread reads W as a stream. Where a stream begins it
    // is slow: so small products have one for each thread, and larger ones some more, for threads that are held up.
    constexpr int unit = 4 * vector_width;
    const std::int64_t pieces = std::clamp(n * k * std::int64_t{sizeof(E)} / task_bytes, std::int64_t{1}, std::int64_t{4});
    const std::int64_t range = divide_up(divide_up(n, pieces * ctx.threads()), vector_width) * vector_width;
    ctx.parallel_for(static_cast<int>(divide_up(n, range)), [&](int task, int) {
      const std::int64_t last = std::min(n, (task + 1) * range);
      fetch_first_columns(b.data + task * range * b.stride, b.stride);
      for (std::int64_t begin = task * range; begin < last; begin += unit) {
        const std::int64_t end = std::min(last, begin + unit);
        alignas(64) float sums[in_place ? 1 : few_rows * unit];
        float* const out = in_place ? reinterpret_cast<float*>(c) + begin : sums;
        const std::int64_t stride = in_place ? c_stride : unit;
        multiply_few_rows(static_cast<int>(m), k, block_depth, a.data, a.stride, b.data + begin * b.stride, b.stride,
                          end - begin, out, stride, accumulate);
        if constexpr (ends) {
          for (std::int64_t i = 0; i < m; ++i) finish(i, begin, end, out + i * stride);
        }
      }
    });
    return;
  }
  ctx.reserve_scratch(gemm_scratch);
  constexpr int block = block_depth * per_word<E>;  // numbers of k
  const Packing packing = packing_of(n, words_of<E>(k));
  const bool by_onednn = k > 0 && onednn::multiplies<E>();
  const bool shared = !by_onednn && m > wide_block_rows && k > 0 && packing.strip > 0;
  // Where C is summed in scratch, tiles are wide if B is packed, to pack A less, and else high, to pack B less.
  const int max_rows = in_place || !shared ? max_block_rows : wide_block_rows;
  const int max_columns = in_place ? max_block_columns : max_summed / max_rows;
  const std::int64_t strip = shared ? packing.strip : n;
  float* const packed = shared ? ctx.shared_scratch(packing.floats()) : nullptr;
  // Columns from `column` of the strip on, in the p-th block of k.
  const auto place = [&](std::int64_t p, std::int64_t column) { return packed + (p * strip + column) * block_depth; };

  for (std::int64_t left = 0; left < n; left += strip) {
    const std::int64_t width = std::min(strip, n - left);
    if (shared) {
      const std::int64_t groups = divide_up(width, group_columns);
      ctx.parallel_for(static_cast<int>(groups * divide_up(k, block)), [&](int task, int) {
        const std::int64_t p = task / groups, column = task % groups * group_columns;
        pack_b(place(p, column), b, p * block, left + column,
               static_cast<int>(std::min<std::int64_t>(block, k - p * block)),
               static_cast<int>(std::min<std::int64_t>(group_columns, width - column)));
      });
    }
    const Blocks blocks = choose_blocks(m, width, ctx.threads(), max_rows, max_columns);
    ctx.parallel_for(static_cast<int>(blocks.tasks), [&](int task, int thread) {
      const std::int64_t row = task % blocks.row_count * blocks.rows;
      const std::int64_t column = task / blocks.row_count * blocks.columns;
      const int rows = static_cast<int>(std::min<std::int64_t>(blocks.rows, m - row));
      const int columns = static_cast<int>(std::min<std::int64_t>(blocks.columns, width - column));
      float* const packed_a = ctx.scratch(thread);
      float* const packed_b = packed_a + packed_rows(max_rows);
      float* tile = packed_b + group_columns * block_depth;
      std::int64_t stride = max_columns;
      if constexpr (in_place) tile = c + row * c_stride + left + column, stride = c_stride;
      if (by_onednn) {
        onednn::multiply(rows, columns, k, part_of(a, row, 0), part_of(b, 0, column), tile, stride, accumulate);
      } else {
        std::int64_t k0 = 0;
        do {
          const int depth = static_cast<int>(std::min<std::int64_t>(block, k - k0));
          const Accumulate add = k0 == 0 ? accumulate : Accumulate::yes;
          pack_a(packed_a, a, row, k0, rows, depth, m - row);
          for (int j0 = 0; j0 < columns; j0 += group_columns) {
            const int group = std::min(group_columns, columns - j0);
            if (!shared) pack_b(packed_b, b, k0, left + column + j0, depth, group);
            for (int j = 0; j < group; j += tile_columns) {
              const float* sliver =
                  shared ? place(k0 / block, column + j0 + j) : packed_b + std::int64_t{j} * block_depth;
              multiply_sliver<E>(rows, std::min(tile_columns, group - j), words_of<E>(depth), packed_a, a.layout,
                                 sliver, tile + j0 + j, stride, add);
            }
          }
          k0 += block;
        } while (k0 < k);
      }
      if constexpr (ends) {
        for (int i = 0; i < rows; ++i) finish(row + i, left + column, left + column + columns, tile + i * stride);
      }
    });
  }
}

}  // namespace tinygpt::cpu

// Walking a row of floats a vector at a time, its last part included.
#pragma once

#include <algorithm>
#include <cstdint>

#include <tinygpt/cpu/context.hpp>
#include <tinygpt/cpu/dropout.hpp>
#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

/// One vector's worth of a row: where it begins, and how many of its lanes the row has.
struct Lanes {
  std::int64_t at;
  int count;

  TINYGPT_CPU_INLINE bool whole() const { return count == vector_width; }
  /// x[at ...], of floats or bf16; lanes beyond the row are 0.
  template <class E> TINYGPT_CPU_INLINE Floats load(const E* x) const {
    return whole() ? cpu::load(x + at) : load_first(x + at, count);
  }
  template <class E> TINYGPT_CPU_INLINE void store(E* x, Floats value) const {
    if (whole())
      cpu::store(x + at, value);
    else
      store_first(x + at, value, count);
  }
  /// value where the row has a lane, 0 beyond it: for sums of what is not 0 at 0.
  TINYGPT_CPU_INLINE Floats keep(Floats value) const {
    return whole() ? value : select(iota() < broadcast(count), value, Floats{});
  }
};

/// Calls f(Lanes) along a row of `width` floats.
template <class F> TINYGPT_CPU_INLINE void along(std::int64_t width, F&& f) {
  std::int64_t i = 0;
  for (; i + vector_width <= width; i += vector_width) f(Lanes{i, vector_width});
  if (i < width) f(Lanes{i, static_cast<int>(width - i)});
}

/// Calls f(Lanes, factors) along row `row` of a mask: 0 or scale for each lane, 1 without dropout.
template <class F>
TINYGPT_CPU_INLINE void along_mask(const Dropout& dropout, std::int64_t row, std::int64_t width, F&& f) {
  if (!dropout) {
    along(width, [&](Lanes lanes) { f(lanes, broadcast(1.0f)); });
    return;
  }
  for (std::int64_t span = 0; span < width; span += dropout_span) {
    Floats factors[4];
    dropout_factors(dropout, row, span, width, factors);
    for (int v = 0; v < 4; ++v) {
      const std::int64_t at = span + v * vector_width;
      if (at < width) f(Lanes{at, static_cast<int>(std::min<std::int64_t>(vector_width, width - at))}, factors[v]);
    }
  }
}

/// Rows in one task of a row-wise operation; at most `row_parts` tasks. Depends on the number of rows only, so that
/// sums over rows, which are made part by part, have the same bits with any number of threads.
inline constexpr std::int64_t row_parts = 64;
inline std::int64_t rows_per_part(std::int64_t rows) {
  return std::max<std::int64_t>(8, (rows + row_parts - 1) / row_parts);
}

/// Calls f(part, first_row, last_row) for every part, in parallel.
template <class F> void for_row_parts(Workers& ctx, std::int64_t rows, F&& f) {
  const std::int64_t step = rows_per_part(rows);
  ctx.parallel_for(static_cast<int>((rows + step - 1) / step),
                   [&](int part, int) { f(part, part * step, std::min(rows, (part + 1) * step)); });
}

/// Elements of an arena in one task; fixed, so that sums have the same bits with any number of threads.
inline constexpr std::int64_t arena_part = 1 << 15;

/// Calls f(part, first, last) for every part of n elements, in parallel.
template <class F> void for_arena_parts(Workers& ctx, std::int64_t n, F&& f) {
  ctx.parallel_for(static_cast<int>((n + arena_part - 1) / arena_part),
                   [&](int part, int) { f(part, part * arena_part, std::min(n, (part + 1) * arena_part)); });
}

/// Floats of shared scratch in which a norm over `width` sums its parameters' gradients: for each part of the rows the
/// weight's, then the bias's.
constexpr std::int64_t norm_backward_scratch(std::int64_t width) {
  return row_parts * 2 * ((width + vector_width - 1) / vector_width * vector_width);
}

/// out[j] += sum_i x[i * width + j], in order of i.
template <class E>
void add_column_sums(Workers& ctx, float* out, const E* x, std::int64_t rows, std::int64_t width) {
  constexpr std::int64_t strip = 4 * vector_width;
  ctx.parallel_for(static_cast<int>((width + strip - 1) / strip), [&](int task, int) {
    const std::int64_t first = task * strip, n = std::min(strip, width - first);
    Floats sums[4] = {};
    for (std::int64_t i = 0; i < rows; ++i) {
      along(n, [&](Lanes lanes) { sums[lanes.at / vector_width] += lanes.load(x + i * width + first); });
    }
    along(n, [&](Lanes lanes) { lanes.store(out + first, lanes.load(out + first) + sums[lanes.at / vector_width]); });
  });
}

}  // namespace tinygpt::cpu

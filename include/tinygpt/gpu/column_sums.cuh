// Sums of the columns of a matrix, added to floats: the gradient of a bias.
// Strategy: a block sums a tile of columns over a part of the rows, its warps taking turns, each row 16 bytes a lane;
// the parts' sums are added in fixed order by a second kernel.
#pragma once

#include <cstdint>

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>
#include <tinygpt/gpu/partials.cuh>
#include <tinygpt/gpu/rows.cuh>

namespace tinygpt::gpu {

namespace detail {

/// Parts of so many rows make partial sums of 1 % to 3 % of what is read, and still fill a GPU.
constexpr RowParts column_sum_parts(std::int64_t rows) { return RowParts(rows, 128); }

inline constexpr int column_sum_threads = 256;

template <int N> struct ColumnSumShared { float sums[warps<column_sum_threads>][warp_size * N]; };

}  // namespace detail

/// partials[part][c] = sum over the part's rows of x[row * stride + c]. `stride` is a multiple of N.
template <class E, int N>
__global__ void __launch_bounds__(detail::column_sum_threads)
    column_sums_kernel(float* partials, const E* x, std::int64_t rows, int width, std::int64_t stride,
                       std::int64_t rows_per_part) {
  constexpr int tile = warp_size * N, block_warps = warps<detail::column_sum_threads>;
  auto& shared = shared_memory<detail::ColumnSumShared<N>>();
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * rows_per_part;
  const std::int64_t last = first + rows_per_part < rows ? first + rows_per_part : rows;
  const int tile_begin = static_cast<int>(blockIdx.x) * tile;
  const int column = tile_begin + lane_id() * N;

  Vec<float, N> sum{};
  if (column < stride) {
    const E* p = x + column;
#pragma unroll 4
    for (std::int64_t row = first + warp_id(); row < last; row += block_warps) {
      sum = sum + to_float(load_vec<N>(p + row * stride));
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) shared.sums[warp_id()][i * warp_size + lane_id()] = sum[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < tile; i += detail::column_sum_threads) {
    if (tile_begin + i >= width) continue;
    float total = 0;
#pragma unroll
    for (int w = 0; w < block_warps; ++w) total += shared.sums[w][i % N * warp_size + i / N];
    partials[static_cast<std::int64_t>(blockIdx.y) * width + tile_begin + i] = total;
  }
}

/// Bytes of scratch that add_column_sums takes.
constexpr std::int64_t column_sums_scratch(std::int64_t rows, int width) {
  return partials_scratch(detail::column_sum_parts(rows).parts, 1, width);
}

/// sums[c] += sum over the rows of x[row * Stride + c], c < width <= Stride. Rows of x begin at a multiple of 16 bytes
/// wherever Stride is one. Bytes: one read of x.
template <int Stride, class E>
void add_column_sums(Context<E>& ctx, float* sums, const E* x, std::int64_t rows, int width) {
  constexpr int n = row_vec<E, Stride>;
  const RowParts parts = detail::column_sum_parts(rows);
  auto* const partials = static_cast<float*>(ctx.scratch(column_sums_scratch(rows, width)));
  launch<column_sums_kernel<E, n>>(Grid{dim3(blocks_for(width, warp_size * n), static_cast<unsigned>(parts.parts)),
                                        detail::column_sum_threads, sizeof(detail::ColumnSumShared<n>), ctx.stream()},
                                   partials, x, rows, width, Stride, parts.rows_per_part);
  add_partials<1>(ctx, sums, nullptr, partials, parts.parts, width);
}

}  // namespace tinygpt::gpu

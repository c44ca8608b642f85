// The second half of a sum over rows: adds the partial sums that the blocks of a kernel left in scratch, in fixed
// order.
#pragma once

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

namespace tinygpt::gpu {

/// How the rows of a kernel that sums over them are dealt to its blocks: by their number alone, so that the bits of the
/// sum do not depend on the GPU. `least` rows in a part make its partial sums cheap beside the rows that it reads;
/// `most` parts fill every GPU and bound the scratch.
struct RowParts {
  std::int64_t rows_per_part, parts;

  constexpr explicit RowParts(std::int64_t rows, std::int64_t least = 32, std::int64_t most = 1024)
      : rows_per_part((rows + most - 1) / most < least ? least : (rows + most - 1) / most),
        parts((rows + rows_per_part - 1) / rows_per_part) {}
};

/// Bytes of the partial sums of `outputs` vectors of `width` floats.
constexpr std::int64_t partials_scratch(std::int64_t parts, std::int64_t outputs, std::int64_t width) {
  return parts * outputs * width * static_cast<std::int64_t>(sizeof(float));
}

inline constexpr int partials_threads = 1024;
struct PartialsShared {
  float sums[warps<partials_threads>][warp_size];
};

/// A block is 32 columns of one output; its warps share the parts.
template <int Outputs>
__global__ void __launch_bounds__(partials_threads)
    add_partials_kernel(float* first, float* second, const float* partials, std::int64_t parts, int width) {
  auto& shared = shared_memory<PartialsShared>();
  const int column = static_cast<int>(blockIdx.x) * warp_size + lane_id();
  float* const out = blockIdx.y == 0 ? first : second;
  float sum = 0;
  if (out != nullptr && column < width) {
    const float* from = partials + static_cast<std::int64_t>(blockIdx.y) * width + column;
    const std::int64_t stride = static_cast<std::int64_t>(Outputs) * width;
#pragma unroll 4
    for (std::int64_t part = warp_id(); part < parts; part += warps<partials_threads>) sum += from[part * stride];
  }
  shared.sums[warp_id()][lane_id()] = sum;
  __syncthreads();
  if (out != nullptr && column < width && warp_id() == 0) {
    float total = 0;
#pragma unroll
    for (int w = 0; w < warps<partials_threads>; ++w) total += shared.sums[w][lane_id()];
    out[column] += total;
  }
}

/// first[c] += sum over the parts of partials[part][0][c], and second likewise of partials[part][1]; second may be
/// null.
template <int Outputs, class E>
void add_partials(Context<E>& ctx, float* first, float* second, const float* partials, std::int64_t parts, int width) {
  if (parts == 0) return;
  launch<add_partials_kernel<Outputs>>(
      Grid{dim3(blocks_for(width, warp_size), Outputs), partials_threads, sizeof(PartialsShared), ctx.stream()}, first,
      second, partials, parts, width);
}

}  // namespace tinygpt::gpu

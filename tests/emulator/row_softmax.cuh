// Softmax over the rows of a matrix, one block per row: what a kernel header looks like, for the tests.
//
// Two passes over the row: the largest and the sum of exponentials relative to it, kept per thread and then combined
// (online softmax; Milakov and Gimelshein 2018, arXiv:1805.02867, algorithm 3); then the quotients.
#pragma once

#include <cstdint>

#include <tinygpt/gpu/block_reduce.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

namespace tinygpt::gpu {

template <int Threads>
struct RowSoftmaxShared {
  BlockReduce<Threads, float> row;
};

template <class E, int Threads>
__global__ void __launch_bounds__(Threads) row_softmax(E* y, const E* x, int width) {
  auto& shared = shared_memory<RowSoftmaxShared<Threads>>();
  constexpr int step = per_vec<E>;
  const E* const in = x + static_cast<std::int64_t>(blockIdx.x) * width;
  E* const out = y + static_cast<std::int64_t>(blockIdx.x) * width;
  const int first = static_cast<int>(threadIdx.x) * step;

  float largest = -1e30f, sum = 0;  // finite, so that the difference of two of them is a number
  for (int i = first; i < width; i += Threads * step) {
    const auto v = to_float(load_vec<step>(in + i));
#pragma unroll
    for (int k = 0; k < step; ++k) {
      const float before = largest;
      largest = fmaxf(largest, v[k]);
      sum = sum * __expf(before - largest) + __expf(v[k] - largest);
    }
  }
  const float row_largest = block_max(largest, shared.row);
  const float scale = 1 / block_sum(sum * __expf(largest - row_largest), shared.row);
  for (int i = first; i < width; i += Threads * step) {
    auto v = to_float(load_vec<step>(in + i));
#pragma unroll
    for (int k = 0; k < step; ++k) v[k] = __expf(v[k] - row_largest) * scale;
    store_vec(out + i, from_float<E>(v));
  }
}

/// y = softmax(x) over each row; `width` is a multiple of per_vec<E>.
template <class E>
void softmax_rows(E* y, const E* x, std::int64_t rows, int width, cudaStream_t stream) {
  constexpr int threads = 128;
  launch<row_softmax<E, threads>>(Grid{blocks_for(rows, 1), threads, sizeof(RowSoftmaxShared<threads>), stream}, y, x,
                                  width);
}

}  // namespace tinygpt::gpu

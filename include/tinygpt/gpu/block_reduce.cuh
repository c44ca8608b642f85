// Sums and maxima over a block, by CUB. (tests/support/emulator has a twin of this header, which adds in the same
// order.)
#pragma once

#include <cub/block/block_reduce.cuh>

#include <tinygpt/gpu/device.cuh>

namespace tinygpt::gpu {

namespace detail {

/// Each warp by shuffles, then one thread the warps in turn: the order of the additions is fixed, so equal inputs give
/// equal bits.
template <int Threads, class E> using CubBlock = cub::BlockReduce<E, Threads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;

}  // namespace detail

/// Shared memory of block_sum and block_max: a member of the kernel's struct of it.
template <int Threads, class E> struct BlockReduce {
  static_assert(Threads % warp_size == 0 && warps<Threads> <= warp_size);

  typename detail::CubBlock<Threads, E>::TempStorage parts;
  E result;
};

/// The sum over a one-dimensional block of `Threads` threads, in each of them. All threads of the block must call it.
/// Its memory may be handed to the next of these calls at once, and to anything else after a barrier.
template <int Threads, class E> __device__ __forceinline__ E block_sum(E value, BlockReduce<Threads, E>& shared) {
  value = detail::CubBlock<Threads, E>(shared.parts).Sum(value);
  if (threadIdx.x == 0) shared.result = value;
  __syncthreads();
  return shared.result;
}

/// The largest value of a block; the same conditions.
template <int Threads, class E> __device__ __forceinline__ E block_max(E value, BlockReduce<Threads, E>& shared) {
  value = detail::CubBlock<Threads, E>(shared.parts).Reduce(value, [](E a, E b) { return a < b ? b : a; });
  if (threadIdx.x == 0) shared.result = value;
  __syncthreads();
  return shared.result;
}

}  // namespace tinygpt::gpu

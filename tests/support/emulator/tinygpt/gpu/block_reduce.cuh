// Twin of include/tinygpt/gpu/block_reduce.cuh for the host: what CUB does, written with the builtins of CUDA C++, in
// the same order of additions and with the same barriers.
#pragma once

#include <tinygpt/gpu/device.cuh>

namespace tinygpt::gpu {

template <int Threads, class E> struct BlockReduce {
  static_assert(Threads % warp_size == 0 && warps<Threads> <= warp_size);

  E parts[warps<Threads>];
  E result;
};

namespace detail {

template <int Threads, class E, class Combine>
E block_reduce(E value, BlockReduce<Threads, E>& shared, Combine combine) {
  for (int step = 1; step < warp_size; step *= 2) {
    const E other = __shfl_down_sync(full_warp, value, static_cast<unsigned>(step));
    if (lane_id() + step < warp_size) value = combine(value, other);
  }
  if (lane_id() == 0) shared.parts[warp_id()] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < warps<Threads>; ++warp) value = combine(value, shared.parts[warp]);
    shared.result = value;
  }
  __syncthreads();
  return shared.result;
}

}  // namespace detail

template <int Threads, class E> E block_sum(E value, BlockReduce<Threads, E>& shared) {
  return detail::block_reduce(value, shared, [](E a, E b) { return a + b; });
}

template <int Threads, class E> E block_max(E value, BlockReduce<Threads, E>& shared) {
  return detail::block_reduce(value, shared, [](E a, E b) { return a < b ? b : a; });
}

}  // namespace tinygpt::gpu

// Zeros and conversions. Twin of cpu/transfer.hpp, the part that is a kernel's work.
#pragma once

#include <span>

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/launch.cuh>
#include <tinygpt/gpu/rows.cuh>

namespace tinygpt::gpu {

inline constexpr int elementwise_threads = 256;

/// Four numbers to a thread; the last thread has what is left.
template <class E>
__global__ void __launch_bounds__(elementwise_threads) convert_kernel(E* to, const float* from, std::int64_t size) {
  const std::int64_t at = global_thread() * 4;
  if (at + 4 <= size) {
    store_vec(to + at, from_float<E>(load_vec<4>(from + at)));
  } else {
    for (std::int64_t i = at; i < size; ++i) to[i] = from_float<E>(from[i]);
  }
}

/// Zeros, in elements or in accumulators; also those that are not a whole number of vectors.
template <class E> void fill_zero(Context<E>& ctx, std::type_identity_t<std::span<E>> x) {
  check(cudaMemsetAsync(x.data(), 0, x.size_bytes(), ctx.stream()), "cudaMemsetAsync");
}
template <class E>
requires(!std::is_same_v<E, float>) void fill_zero(Context<E>& ctx, std::type_identity_t<std::span<float>> x) {
  check(cudaMemsetAsync(x.data(), 0, x.size_bytes(), ctx.stream()), "cudaMemsetAsync");
}

/// Elements of masters, rounded to nearest even. Both begin at a multiple of 16 bytes.
template <class E>
void convert(Context<E>& ctx, std::type_identity_t<std::span<E>> to,
             std::type_identity_t<std::span<const float>> from) {
  const auto size = static_cast<std::int64_t>(to.size());
  launch<convert_kernel<E>>(Grid{blocks_for(size, 4 * elementwise_threads), elementwise_threads, 0, ctx.stream()},
                            to.data(), from.data(), size);
}

}  // namespace tinygpt::gpu

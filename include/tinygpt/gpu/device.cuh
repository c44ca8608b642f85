// What kernels are written with, beyond what CUDA C++ brings: sums over a warp, vectors, shared memory.
//
// How a kernel header is written, so that nvcc and the emulator of the tests (plain g++, no GPU) compile one source:
//
//   - Device code uses the builtins of CUDA C++ (threadIdx, __syncthreads, __shfl_xor_sync, atomicAdd, ...), this header,
//     ptx.cuh and block_reduce.cuh, and nothing else: no inline PTX, no <<<>>>, no #ifdef, no cooperative groups; CUB is
//     behind block_reduce.cuh alone.
//   - Shared memory is one struct per kernel, taken by shared_memory<Shared>(), its size given to the launch; there are
//     no __shared__ variables. The emulator gives each block exactly that many bytes, full of NaN: what was not written
//     is not a number, and AddressSanitizer sees an access beyond the end.
//   - Every thread of a block reaches the same __syncthreads(), and every lane that a mask names the same warp
//     operation; blocks are of whole warps. So threads without work skip the work, not the barrier: no early return.
//   - Memory that threads share is ordered by __syncthreads(), within a warp by __syncwarp(); a shuffle orders nothing.
//     ThreadSanitizer sees where that is missing, and also two threads that write the same number to one place.
//   - Copies by cp_async_16 are waited for before the kernel ends.
//   - Kernels are templates of element types and ints; indices into global memory are std::int64_t.
//   - Global memory goes through load_vec and store_vec where it can: 16 bytes at a time.
//   - Tests run a kernel in each of emulator::several_orders and compare bits (tests/support/emulator).
//
//   struct RowSumShared { BlockReduce<128, float> sum; };
//
//   template <class E>
//   __global__ void __launch_bounds__(128) row_sum(float* sums, const E* x, int width) {
//     auto& shared = shared_memory<RowSumShared>();
//     const E* row = x + static_cast<std::int64_t>(blockIdx.x) * width;
//     float sum = 0;
//     for (int i = threadIdx.x; i < width; i += 128) sum += static_cast<float>(row[i]);
//     sum = block_sum(sum, shared.sum);                                                       // gpu/block_reduce.cuh
//     if (threadIdx.x == 0) sums[blockIdx.x] = sum;
//   }
//
//   launch<row_sum<float>>(Grid{rows, 128, sizeof(RowSumShared), stream}, sums, x, width);    // gpu/launch.cuh
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include <tinygpt/gpu/ptx.cuh>
#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::gpu {

inline constexpr int warp_size = 32;
inline constexpr unsigned full_warp = 0xFFFF'FFFFu;

/// Warps in a block of so many threads.
template <int Threads>
inline constexpr int warps = Threads / warp_size;

/// The block's shared memory as the kernel's struct of it. Nothing is initialised.
template <class Shared>
__device__ __forceinline__ Shared& shared_memory() {
  static_assert(std::is_trivially_default_constructible_v<Shared> && std::is_trivially_destructible_v<Shared>,
                "shared memory is never constructed, so its struct can hold plain data only");
  return dynamic_shared<Shared>();
}

/// The number of this thread among all of a grid of one dimension.
__device__ __forceinline__ std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// How many threads such a grid has: the stride of a loop in which every thread takes several elements.
__device__ __forceinline__ std::int64_t global_threads() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % warp_size; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) / warp_size; }

// ---- Reductions. Every thread gets the result; the order of the additions is fixed, so equal inputs give equal bits.

/// The sum over each group of `Width` neighbouring lanes (a power of two), in every lane of the group.
template <int Width = warp_size, class E>
__device__ __forceinline__ E warp_sum(E value) {
  static_assert(Width >= 1 && Width <= warp_size && (Width & (Width - 1)) == 0);
#pragma unroll
  for (int step = Width / 2; step > 0; step /= 2) value += __shfl_xor_sync(full_warp, value, step);
  return value;
}

/// The largest of each group of `Width` neighbouring lanes.
template <int Width = warp_size, class E>
__device__ __forceinline__ E warp_max(E value) {
  static_assert(Width >= 1 && Width <= warp_size && (Width & (Width - 1)) == 0);
#pragma unroll
  for (int step = Width / 2; step > 0; step /= 2) {
    const E other = __shfl_xor_sync(full_warp, value, step);
    value = other > value ? other : value;
  }
  return value;
}

// ---- Vectors

/// N elements side by side. Aligned so that up to 16 bytes are one access.
template <class E, int N>
struct alignas(sizeof(E) * N < 16 ? sizeof(E) * N : 16) Vec {
  static_assert(N > 0 && (N & (N - 1)) == 0, "a vector has 1, 2, 4, 8, ... elements");
  E element[N];

  __device__ __forceinline__ E& operator[](int i) { return element[i]; }
  __device__ __forceinline__ const E& operator[](int i) const { return element[i]; }
};

/// Elements of which 16 bytes are made: the widest access.
template <class E>
inline constexpr int per_vec = 16 / static_cast<int>(sizeof(E));

namespace detail {

/// The words in which a vector is loaded and stored. nvcc breaks a load of a number of 16 bytes in two, and a store of a
/// struct of 4 numbers in four, here and there; as they are here, accesses stay whole (seen in SASS of CUDA 13.0).
__extension__ using Number16 = unsigned __int128;
template <int Bytes> struct AccessOf { using load = uint4; using store = Number16; };
template <> struct AccessOf<8> { using load = uint2; using store = unsigned long long; };
template <> struct AccessOf<4> { using load = unsigned; using store = unsigned; };
template <> struct AccessOf<2> { using load = unsigned short; using store = unsigned short; };

/// A vector of Bytes bytes as words.
template <class Word, int Bytes>
struct Words {
  static constexpr int count = Bytes / static_cast<int>(sizeof(Word));
  Word word[count];
};

}  // namespace detail

/// N elements from p on, which is aligned as a Vec<E, N>.
template <int N, class E>
__device__ __forceinline__ Vec<std::remove_const_t<E>, N> load_vec(E* p) {
  using V = Vec<std::remove_const_t<E>, N>;
  using Word = typename detail::AccessOf<sizeof(V)>::load;
  detail::Words<Word, sizeof(V)> words;
  const Word* from = as_vector<const Word>(p);
#pragma unroll
  for (int i = 0; i < words.count; ++i) words.word[i] = from[i];
  return __builtin_bit_cast(V, words);
}

template <class E, int N>
__device__ __forceinline__ void store_vec(E* p, const Vec<E, N>& v) {
  using Word = typename detail::AccessOf<sizeof(v)>::store;
  using Words = detail::Words<Word, sizeof(v)>;
  const auto words = __builtin_bit_cast(Words, v);
  Word* to = as_vector<Word>(p);
#pragma unroll
  for (int i = 0; i < Words::count; ++i) to[i] = words.word[i];
}

/// The halves of a packed pair.
__device__ __forceinline__ float low_bf16(std::uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_bf16(std::uint32_t pair) { return __uint_as_float(pair & 0xFFFF'0000u); }

namespace detail {

/// A vector of elements of 2 bytes as pairs: conversions go by pairs, so that compilers keep whole words.
template <int N>
struct Pairs {
  std::uint32_t pair[N / 2];
};

}  // namespace detail

/// The elements as floats, and floats as elements of type E: what a kernel computes in.
template <class E, int N>
__device__ __forceinline__ Vec<float, N> to_float(const Vec<E, N>& v) {
  Vec<float, N> r;
  if constexpr (std::is_same_v<E, bfloat16> && N > 1) {
    const auto pairs = __builtin_bit_cast(detail::Pairs<N>, v);
#pragma unroll
    for (int i = 0; i < N; i += 2) {
      r[i] = low_bf16(pairs.pair[i / 2]);
      r[i + 1] = high_bf16(pairs.pair[i / 2]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) r[i] = static_cast<float>(v[i]);
  }
  return r;
}

/// A float rounded to E by the GPU's own conversion.
template <class E>
__device__ __forceinline__ E from_float(float value) {
  if constexpr (std::is_same_v<E, bfloat16>) {
    return bfloat16::from_bits(static_cast<std::uint16_t>(pack_bf16x2(value, 0.0f)));
  } else {
    return static_cast<E>(value);
  }
}

template <class E, int N>
__device__ __forceinline__ Vec<E, N> from_float(const Vec<float, N>& v) {
  if constexpr (std::is_same_v<E, bfloat16> && N > 1) {
    detail::Pairs<N> pairs;
#pragma unroll
    for (int i = 0; i < N; i += 2) pairs.pair[i / 2] = pack_bf16x2(v[i], v[i + 1]);
    using V = Vec<E, N>;
    return __builtin_bit_cast(V, pairs);
  } else {
    Vec<E, N> r;
#pragma unroll
    for (int i = 0; i < N; ++i) r[i] = from_float<E>(v[i]);
    return r;
  }
}

}  // namespace tinygpt::gpu

// The instructions that CUDA C++ has no word for. (tests/support/emulator has a twin of this header for the host.)
//
// Source: PTX ISA 9.0, the sections on ldmatrix, mma.m16n8k16, cp.async and cvt. What needs compute capability 8.0
// (matrix products in bfloat16, asynchronous copies) traps on an older GPU, so that the rest still compiles for it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::gpu {

/// The same address as one of a V, for a vector access. The address must be a multiple of alignof(V).
template <class V, class E>
__device__ __forceinline__ V* as_vector(E* p) {
  return reinterpret_cast<V*>(p);
}

/// The shared memory of the block: as many bytes as the launch asked for. Kernels take it by shared_memory<Shared>().
template <class Shared>
__device__ __forceinline__ Shared& dynamic_shared() {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  static_assert(alignof(Shared) <= 128);
  return *reinterpret_cast<Shared*>(shared_bytes);
}

/// An address within shared memory, as instructions take it.
__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// Two floats rounded to bfloat16, lo in the lower half: the bits of tinygpt::bfloat16(lo) and (hi).
__device__ __forceinline__ std::uint32_t pack_bf16x2(float lo, float hi) {
#if __CUDA_ARCH__ >= 800
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(hi), "f"(lo));
  return packed;
#else
  return bfloat16(lo).bits | static_cast<std::uint32_t>(bfloat16(hi).bits) << 16;
#endif
}

/// 2^x by the GPU's own approximation, off by 2^-22 of the result at most; results below 2^-126 are 0.
__device__ __forceinline__ float approximate_exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/// Begins to copy 16 bytes from global to shared memory, both addresses multiples of 16; zeros where not valid (then
/// nothing is read). Until this thread has waited for the copy's group, the 16 bytes hold nothing that can be relied on.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid = true) {
#if __CUDA_ARCH__ >= 800
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
#else
  __trap();
#endif
}

/// Closes the group of this thread's copies that were begun since the last group.
__device__ __forceinline__ void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  __trap();
#endif
}

/// Waits until at most the newest `Pending` groups of this thread are still under way. Other threads see the data only
/// after a barrier that follows.
template <int Pending>
__device__ __forceinline__ void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#else
  __trap();
#endif
}

/// Loads four 8 x 8 matrices of 16-bit elements from shared memory. Lanes 0-7 give the addresses of the rows of the
/// first matrix (16 bytes each, at a multiple of 16), lanes 8-15 those of the second, and so on. r[m] of lane l becomes
/// elements (l / 4, 2 (l % 4)) and the next one of matrix m, the first in the lower half.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared_row))
               : "memory");
}

/// The same, each matrix transposed: r[m] of lane l becomes elements (2 (l % 4), l / 4) and the one below it.
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared_row))
               : "memory");
}

/// Two matrices; lanes 0-15 give the addresses, and the other lanes any valid ones.
__device__ __forceinline__ void ldmatrix_x2(std::uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(shared_row))
               : "memory");
}

/// Two matrices, each transposed.
__device__ __forceinline__ void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(shared_row))
               : "memory");
}

/// d += a b, by one warp: a (16 x 16) and b (16 x 8) in bfloat16, d (16 x 8) in float. With g = lane / 4, t = lane % 4,
/// and two neighbours packed as in pack_bf16x2:
///
///   a[0], a[1]   (row g or g + 8, columns 2t, 2t + 1)         d[0], d[1]   (row g, columns 2t, 2t + 1)
///   a[2], a[3]   (row g or g + 8, columns 2t + 8, 2t + 9)     d[2], d[3]   (row g + 8, the same columns)
///   b[0], b[1]   (rows 2t, 2t + 1 or 2t + 8, 2t + 9; column g)
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

}  // namespace tinygpt::gpu

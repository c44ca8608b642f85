// The words and types of CUDA C++ for a plain C++ compiler: __global__, dim3, float4, ...
#pragma once

#include <cstddef>

// There is no __shared__ on purpose: a kernel takes its shared memory by tinygpt::gpu::shared_memory.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__

#define TINYGPT_EMULATOR_VECTOR(name, scalar, alignment)                                            \
  struct name##1 {                                                                                  \
    scalar x;                                                                                       \
  };                                                                                                \
  struct alignas(2 * sizeof(scalar)) name##2 {                                                      \
    scalar x, y;                                                                                    \
  };                                                                                                \
  struct name##3 {                                                                                  \
    scalar x, y, z;                                                                                 \
  };                                                                                                \
  struct alignas(alignment) name##4 {                                                               \
    scalar x, y, z, w;                                                                              \
  };                                                                                                \
  constexpr name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }                           \
  constexpr name##3 make_##name##3(scalar x, scalar y, scalar z) { return {x, y, z}; }              \
  constexpr name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; } \
  static_assert(sizeof(name##4) == 4 * sizeof(scalar))

TINYGPT_EMULATOR_VECTOR(float, float, 16);
TINYGPT_EMULATOR_VECTOR(double, double, 16);
TINYGPT_EMULATOR_VECTOR(int, int, 16);
TINYGPT_EMULATOR_VECTOR(uint, unsigned, 16);
TINYGPT_EMULATOR_VECTOR(short, short, 8);
TINYGPT_EMULATOR_VECTOR(ushort, unsigned short, 8);
#undef TINYGPT_EMULATOR_VECTOR

struct dim3 {
  unsigned x = 1, y = 1, z = 1;

  constexpr dim3(unsigned x_extent = 1, unsigned y_extent = 1, unsigned z_extent = 1)
      : x(x_extent), y(y_extent), z(z_extent) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// Where the running thread is. Set whenever another one is continued.
inline thread_local constinit uint3 threadIdx{};
inline thread_local constinit uint3 blockIdx{};
inline thread_local constinit dim3 blockDim{};
inline thread_local constinit dim3 gridDim{};
inline constexpr int warpSize = 32;

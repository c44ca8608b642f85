// What an operation of the gpu backend runs on. Twin of cpu/context.hpp.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <tinygpt/gpu/capability.cuh>
#include <tinygpt/gpu/check.cuh>
#include <tinygpt/gpu/device_memory.cuh>
#include <tinygpt/gpu/later.cuh>
#include <tinygpt/gpu/matmul_engine.cuh>
#include <tinygpt/gpu/recording.cuh>
#include <tinygpt/gpu/staging.cuh>
#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::gpu {

namespace detail {

/// The device's properties, once it is the current one and found good for numbers of type E.
template <class E> cudaDeviceProp chosen_device(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  if (!capable<E>(properties.major, properties.minor)) {
    constexpr bool half = std::is_same_v<E, bfloat16>;
    throw Error("the GPU " + std::string(properties.name) + " has compute capability " +
                std::to_string(properties.major) + "." + std::to_string(properties.minor) + ", and " +
                (half ? "bf16 needs 8.0: use float32" : "7.5 is needed: use the cpu backend"));
  }
  return properties;
}

}  // namespace detail

/// Bytes of a context's workspace that are not scratch.
inline constexpr std::int64_t beside_scratch = most_matmul_workspace + Staging::bytes;

/// One GPU, a stream on which operations run in order, and memory that belongs to the operation that runs. E is float
/// or bfloat16. Not to be shared by threads.
template <class E> class Context {
 public:
  using element = E;
  using accumulator = float;
  using Recording = gpu::Recording;
  template <class N> using Later = gpu::Later<N>;

  /// `device` counts as CUDA does; `workspace` is what gpu/memory.cuh says that the operations want, in bytes. Throws
  /// Error where one of them is not to be had, or cuBLASLt is not.
  explicit Context(int device = 0, std::int64_t workspace = 0)
      : properties_(detail::chosen_device<E>(device)), matmul_(properties_) {
    reserve_scratch(workspace - beside_scratch);
  }

  cudaStream_t stream() const { return stream_.get(); }
  const cudaDeviceProp& properties() const { return properties_; }
  int multiprocessors() const { return properties_.multiProcessorCount; }

  MatmulEngine& matmul_engine() { return matmul_; }
  Staging& staging() { return staging_; }

  /// Makes scratch at least so large. It waits for the GPU and allocates, so it has no place within a step; what was
  /// recorded before is recorded anew.
  void reserve_scratch(std::int64_t bytes) {
    if (bytes <= scratch_.size()) return;
    check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
    scratch_ = DeviceMemory();  // first, so that both need not be there at once
    scratch_ = DeviceMemory(bytes);
    ++scratch_changes_;
  }

  /// How often scratch has got another place.
  int scratch_changes() const { return scratch_changes_; }

  /// Memory of at least so many bytes, aligned to 256, for what the parts of the operation that runs hand to one
  /// another; the next operation finds in it what this one left. Every operation says by a constexpr function
  /// (norm_scratch, ...) what it needs, and gpu/memory.cuh reserves the largest.
  void* scratch(std::int64_t bytes) {
    if (bytes > scratch_.size()) {
      throw Error("an operation wants " + std::to_string(bytes) + " bytes of scratch of " +
                  std::to_string(scratch_.size()) + " that were reserved: call reserve_scratch before");
    }
    return scratch_.data();
  }

 private:
  cudaDeviceProp properties_;
  // In this order: the stream goes first, when what it was given has been done, then the memory that was used for it.
  DeviceMemory scratch_;
  Staging staging_;
  MatmulEngine matmul_;
  Stream stream_;
  int scratch_changes_ = 0;
};

}  // namespace tinygpt::gpu

// What an operation of the gpu backend runs on. Twin of cpu/context.hpp.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include <tinygpt/gpu/check.cuh>
#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::gpu {

/// One GPU, a stream on which operations run in order, and memory that belongs to the operation that runs. E is float
/// or bfloat16. Not to be shared by threads.
template <class E> class Context {
 public:
  using element = E;
  using accumulator = float;

  /// `device` counts as CUDA does. Throws Error where it is not to be had.
  explicit Context(int device = 0) {
    check(cudaSetDevice(device), "cudaSetDevice");
    check(cudaGetDeviceProperties(&properties_, device), "cudaGetDeviceProperties");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  ~Context() {
    cudaFree(scratch_);
    cudaStreamDestroy(stream_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  cudaStream_t stream() const { return stream_; }
  const cudaDeviceProp& properties() const { return properties_; }
  int multiprocessors() const { return properties_.multiProcessorCount; }

  /// Makes scratch at least so large. It waits for the GPU and allocates, so it has no place within a step.
  void reserve_scratch(std::int64_t bytes) {
    if (bytes <= scratch_size_) return;
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    check(cudaFree(scratch_), "cudaFree");
    scratch_ = nullptr, scratch_size_ = 0;
    check(cudaMalloc(&scratch_, static_cast<std::size_t>(bytes)), "cudaMalloc");
    scratch_size_ = bytes;
  }

  /// Memory of at least so many bytes, aligned to 256, for what the parts of the operation that runs hand to one another;
  /// the next operation finds in it what this one left. Every operation says by a constexpr function (norm_scratch, ...)
  /// what it needs, and gpu/memory.cuh reserves the largest.
  void* scratch(std::int64_t bytes) {
    if (bytes > scratch_size_) {
      throw Error("an operation wants " + std::to_string(bytes) + " bytes of scratch of " +
                  std::to_string(scratch_size_) + " that were reserved: call reserve_scratch before");
    }
    return scratch_;
  }

 private:
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  void* scratch_ = nullptr;
  std::int64_t scratch_size_ = 0;
};

}  // namespace tinygpt::gpu

// The status that every call to CUDA returns, looked at in one place.
#pragma once

#include <cuda_runtime.h>

#include <source_location>
#include <string>
#include <string_view>

#include <tinygpt/error.hpp>

namespace tinygpt::gpu {

namespace detail {

/// What a person can do about a status; empty where there is nothing better to say than what CUDA says itself.
inline std::string_view advice(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return ": use a smaller batch or a smaller model";
    case cudaErrorInsufficientDriver:
      return ": install an NVIDIA driver that is at least as new as this CUDA";
    case cudaErrorNoDevice:
      return ": use the cpu backend on this machine";
    case cudaErrorNoKernelImageForDevice:
      return ": build for the architecture of this GPU";
    default:
      return "";
  }
}

}  // namespace detail

/// Throws an Error that names the call, where it stands and what its status means, unless the call succeeded.
///
///   check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
inline void check(cudaError_t status, std::string_view call,
                  const std::source_location& where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  throw Error("CUDA failed in " + std::string(call) + " at " + where.file_name() + ":" + std::to_string(where.line()) +
              ": " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")" +
              std::string(detail::advice(status)));
}

}  // namespace tinygpt::gpu

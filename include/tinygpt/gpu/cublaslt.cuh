// cuBLASLt's functions as a table of pointers, and the status that each returns, looked at in one place.
#pragma once

#include <cublasLt.h>

#include <source_location>
#include <string>
#include <string_view>

#include <tinygpt/error.hpp>

namespace tinygpt::gpu {

/// The functions that this project calls, with the types that cuBLASLt's header declares. gpu/cublaslt_library.cuh
/// finds them when the program runs, so that a program which has this backend starts on a machine without CUDA.
struct CublasLt {
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulAlgoCheck) algo_check;
  decltype(&cublasLtMatmul) matmul;

  /// Throws an Error that names the call, where it stands and what its status means, unless the call succeeded.
  void check(cublasStatus_t status, std::string_view call,
             const std::source_location& where = std::source_location::current()) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    const bool no_device = status == CUBLAS_STATUS_NOT_INITIALIZED;
    throw Error("cuBLASLt failed in " + std::string(call) + " at " + where.file_name() + ":" +
                std::to_string(where.line()) + ": " + status_string(status) +
                (no_device ? ": see whether nvidia-smi finds the GPU, and memory on it is free" : ""));
  }
};

}  // namespace tinygpt::gpu

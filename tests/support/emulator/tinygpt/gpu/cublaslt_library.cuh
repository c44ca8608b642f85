// Twin of include/tinygpt/gpu/cublaslt_library.cuh for the host: the functions of <cublasLt.h> in this folder.
#pragma once

#include <tinygpt/gpu/cublaslt.cuh>

namespace tinygpt::gpu {

inline const CublasLt& cublaslt() {
  static const CublasLt library{.version = cublasLtGetVersion,
                                .status_string = cublasLtGetStatusString,
                                .create = cublasLtCreate,
                                .destroy = cublasLtDestroy,
                                .desc_create = cublasLtMatmulDescCreate,
                                .desc_destroy = cublasLtMatmulDescDestroy,
                                .desc_set = cublasLtMatmulDescSetAttribute,
                                .layout_create = cublasLtMatrixLayoutCreate,
                                .layout_destroy = cublasLtMatrixLayoutDestroy,
                                .preference_create = cublasLtMatmulPreferenceCreate,
                                .preference_destroy = cublasLtMatmulPreferenceDestroy,
                                .preference_set = cublasLtMatmulPreferenceSetAttribute,
                                .heuristic = cublasLtMatmulAlgoGetHeuristic,
                                .algo_check = cublasLtMatmulAlgoCheck,
                                .matmul = cublasLtMatmul};
  return library;
}

}  // namespace tinygpt::gpu

// Twin of cuBLASLt's own <cublasLt.h>: the part of it that the library uses, by plain loops of Eigen on the host.
//
// It is as strict as the real one where a mistake would show only there: an algorithm goes with the alignment that was
// promised when it was proposed, a workspace is overwritten, outputs that are not added to are not read, and what runs
// is given to the stream. An algorithm says how many parts it splits the sum into, so that two of them differ in their
// bits.
#pragma once

#include <cuda_runtime.h>

#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <tinygpt/layout/dtype.hpp>

inline constexpr int CUBLAS_VER_MAJOR = 13;

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
};
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
using cudaDataType = cudaDataType_t;
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68 };
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasLtEpilogue_t { CUBLASLT_EPILOGUE_DEFAULT = 1, CUBLASLT_EPILOGUE_BIAS = 4 };
enum cublasLtReductionScheme_t { CUBLASLT_REDUCTION_SCHEME_NONE = 0, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2 };
enum cublasLtMatmulDescAttributes_t {
  CUBLASLT_MATMUL_DESC_TRANSA = 3,
  CUBLASLT_MATMUL_DESC_TRANSB = 4,
  CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
  CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE = 26,
};
enum cublasLtMatmulPreferenceAttributes_t {
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
  CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8,
};

struct cublasLtContext {};
using cublasLtHandle_t = cublasLtContext*;
struct cublasLtMatmulAlgo_t {
  std::uint64_t data[8];
};
struct cublasLtMatmulDescOpaque_t {
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  cudaDataType_t bias_type = CUDA_R_32F;
};
using cublasLtMatmulDesc_t = cublasLtMatmulDescOpaque_t*;
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  std::int64_t rows, columns, stride;
};
using cublasLtMatrixLayout_t = cublasLtMatrixLayoutOpaque_t*;
struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t workspace = 0;
  std::uint32_t schemes = 7;
  std::uint32_t alignment[4] = {256, 256, 256, 256};
};
using cublasLtMatmulPreference_t = cublasLtMatmulPreferenceOpaque_t*;
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  std::size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
};

namespace emulator {

/// What tests tell the library, and what it tells them.
struct Cublaslt {
  int candidates = 1;  ///< algorithms proposed
  int matmuls = 0;     ///< calls of cublasLtMatmul

  static Cublaslt& of_process() {
    static Cublaslt state;
    return state;
  }
};

inline constexpr std::uint64_t algorithm_magic = 0x7a3d'91c4'55e0'b216u;
inline constexpr std::size_t algorithm_workspace = 4096;

/// An algorithm: data[1] parts of the sum, and the alignments of a, b and d that it was told of.
inline cublasLtMatmulAlgo_t algorithm(std::uint64_t parts, const std::uint32_t (&alignment)[4]) {
  return {{algorithm_magic, parts, alignment[0], alignment[1], std::min(alignment[2], alignment[3]), 0, 0, 0}};
}

/// A column-major matrix at an address, numbers of either type as floats.
struct ColumnMajor {
  const std::byte* data;
  cublasLtMatrixLayoutOpaque_t layout;

  float operator()(std::int64_t i, std::int64_t j) const { return at(data, layout.type, i + j * layout.stride); }

  static float at(const std::byte* data, cudaDataType_t type, std::int64_t i) {
    if (type == CUDA_R_16BF) {
      tinygpt::bfloat16 half;
      std::memcpy(&half, data + 2 * i, 2);
      return static_cast<float>(half);
    }
    float single = 0;
    std::memcpy(&single, data + 4 * i, 4);
    return single;
  }
  static void put(std::byte* data, cudaDataType_t type, std::int64_t i, float value) {
    const tinygpt::bfloat16 half(value);
    if (type == CUDA_R_16BF) {
      std::memcpy(data + 2 * i, &half, 2);
    } else {
      std::memcpy(data + 4 * i, &value, 4);
    }
  }

  Eigen::MatrixXf matrix(cublasOperation_t operation) const {
    Eigen::MatrixXf m(layout.rows, layout.columns);
    for (std::int64_t j = 0; j < layout.columns; ++j) {
      for (std::int64_t i = 0; i < layout.rows; ++i) m(i, j) = (*this)(i, j);
    }
    if (operation == CUBLAS_OP_T) m.transposeInPlace();
    return m;
  }
};

inline bool multiple(const void* p, std::uint64_t alignment) {
  return reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
}

/// Do the shapes fit one another?
inline bool fit(const cublasLtMatmulDescOpaque_t& desc, const cublasLtMatrixLayoutOpaque_t& a,
                const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& d) {
  const auto [m, k] = desc.a == CUBLAS_OP_N ? std::pair(a.rows, a.columns) : std::pair(a.columns, a.rows);
  const auto [k2, n] = desc.b == CUBLAS_OP_N ? std::pair(b.rows, b.columns) : std::pair(b.columns, b.rows);
  const bool types = a.type == b.type && (d.type == a.type || d.type == CUDA_R_32F);
  const bool strides = a.stride >= a.rows && b.stride >= b.rows && d.stride >= d.rows;
  return m == d.rows && n == d.columns && k == k2 && types && strides;
}

/// A bias of another type than the inputs' is not among what cuBLASLt offers.
inline bool bias_fits(const cublasLtMatmulDescOpaque_t& desc, const cublasLtMatrixLayoutOpaque_t& d) {
  return desc.epilogue != CUBLASLT_EPILOGUE_BIAS || (desc.bias != nullptr && desc.bias_type == d.type);
}

}  // namespace emulator

inline std::size_t cublasLtGetVersion() { return 130000; }
inline const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the cuBLAS operation completed successfully";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the cuBLAS library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
  }
  return "an unknown status";
}
inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t, cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = new cublasLtMatmulDescOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                                     cublasLtMatmulDescAttributes_t attribute, const void* value,
                                                     std::size_t bytes) {
  const auto take = [&](auto& to) {
    if (bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(desc->a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(desc->b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(desc->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(desc->bias);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(desc->bias_type);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

inline cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                                 std::uint64_t columns, std::int64_t stride) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns),
                                             stride};
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                           cublasLtMatmulPreferenceAttributes_t attribute,
                                                           const void* value, std::size_t bytes) {
  const auto take = [&](auto& to) {
    if (bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return take(preference->workspace);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return take(preference->schemes);
    default:
      return take(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES]);
  }
}

inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                                     cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                     cublasLtMatmulPreference_t preference, int wanted,
                                                     cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = 0;
  const bool good = emulator::fit(*desc, *a, *b, *d) && c->stride == d->stride && emulator::bias_fits(*desc, *d) &&
                    preference->workspace >= emulator::algorithm_workspace;
  if (!good) return CUBLAS_STATUS_NOT_SUPPORTED;
  const int candidates = std::min(wanted, emulator::Cublaslt::of_process().candidates);
  for (; *found < candidates; ++*found) {
    results[*found] = {emulator::algorithm(static_cast<std::uint64_t>(*found) + 1, preference->alignment),
                       emulator::algorithm_workspace,
                       CUBLAS_STATUS_SUCCESS,
                       1.0f,
                       {}};
  }
  return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                                              cublasLtMatmulHeuristicResult_t* result) {
  const bool good =
      emulator::fit(*desc, *a, *b, *d) && algorithm->data[0] == emulator::algorithm_magic && algorithm->data[1] > 0;
  *result = {
      *algorithm, emulator::algorithm_workspace, good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED, 1.0f, {}};
  return result->state;
}

inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                                     cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                                     const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                                     cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm,
                                     void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  using emulator::ColumnMajor, emulator::multiple;
  const bool good = emulator::fit(*desc, *a_layout, *b_layout, *d_layout) && emulator::bias_fits(*desc, *d_layout) &&
                    algorithm->data[0] == emulator::algorithm_magic && multiple(a, algorithm->data[2]) &&
                    multiple(b, algorithm->data[3]) && multiple(c, algorithm->data[4]) &&
                    multiple(d, algorithm->data[4]) && workspace_bytes >= emulator::algorithm_workspace;
  if (!good) return CUBLAS_STATUS_INVALID_VALUE;
  ++emulator::Cublaslt::of_process().matmuls;
  float scale = 0, keep = 0;
  std::memcpy(&scale, alpha, sizeof scale);
  std::memcpy(&keep, beta, sizeof keep);
  const ColumnMajor left{static_cast<const std::byte*>(a), *a_layout},
      right{static_cast<const std::byte*>(b), *b_layout}, old{static_cast<const std::byte*>(c), *c_layout};
  const auto work = [=, desc = *desc, out = *d_layout, parts = static_cast<std::int64_t>(algorithm->data[1])] {
    std::memset(workspace, 0xFF, emulator::algorithm_workspace);
    const Eigen::MatrixXf x = left.matrix(desc.a), y = right.matrix(desc.b);
    Eigen::MatrixXf sum = Eigen::MatrixXf::Zero(x.rows(), y.cols());
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t first = x.cols() * part / parts, last = x.cols() * (part + 1) / parts;
      sum.noalias() += x.middleCols(first, last - first) * y.middleRows(first, last - first);
    }
    for (std::int64_t j = 0; j < sum.cols(); ++j) {
      for (std::int64_t i = 0; i < sum.rows(); ++i) {
        float value = scale * sum(i, j) + (keep != 0 ? keep * old(i, j) : 0.0f);
        if (desc.epilogue == CUBLASLT_EPILOGUE_BIAS) {
          value += ColumnMajor::at(static_cast<const std::byte*>(desc.bias), desc.bias_type, i);
        }
        ColumnMajor::put(static_cast<std::byte*>(d), out.type, i + j * out.stride, value);
      }
    }
  };
  return emulator::submit(stream, work) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

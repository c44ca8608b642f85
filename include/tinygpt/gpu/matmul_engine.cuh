// Matrix products by cuBLASLt: an algorithm is chosen once for each kind of product, and kept.
//
// Bits: an algorithm adds in an order of its own, and gives the same bits each time on the same kind of GPU (cuBLAS
// library, "Results reproducibility"); of the ways to split a long sum only the one that adds the parts in float, in a
// step of its own, is allowed. So results repeat as long as the choice does: within a process it is made once, and
// between processes it is in the file of plans. Where that file cannot be written nothing is timed, and the library's
// own first proposal, which is always the same, is taken. Several candidates are timed for about a millisecond each.
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <type_traits>
#include <vector>

#include <tinygpt/gpu/cublaslt_library.cuh>
#include <tinygpt/gpu/device_memory.cuh>
#include <tinygpt/gpu/plan_file.cuh>
#include <tinygpt/gpu/product.cuh>

namespace tinygpt::gpu {

/// Bytes of workspace for algorithms that split a sum, on a GPU of compute capability `major`. Source: cuBLAS library,
/// the sizes that cublasSetWorkspace() recommends.
constexpr std::int64_t matmul_workspace(int major) { return std::int64_t{major >= 9 ? 32 : 4} << 20; }
inline constexpr std::int64_t most_matmul_workspace = matmul_workspace(9);

class MatmulEngine {
 public:
  /// Algorithms that the library is asked for, and timed.
  static constexpr int most_candidates = 16;

  /// For the current device. Throws an Error where there is no library.
  explicit MatmulEngine(const cudaDeviceProp& gpu, const std::filesystem::path& plans = PlanFile::default_folder())
      : lt_(cublaslt()), workspace_(matmul_workspace(gpu.major)), file_(plans, owner(gpu)) {
    lt_.check(lt_.create(&handle_), "cublasLtCreate");
  }
  MatmulEngine(const MatmulEngine&) = delete;
  MatmulEngine& operator=(const MatmulEngine&) = delete;
  ~MatmulEngine() { lt_.destroy(handle_); }

  std::int64_t workspace_bytes() const { return workspace_.size(); }

  /// y = a b, y = a b + bias or y += a b. Allocates nothing and waits for nothing, but for the first time that a
  /// product is met, outside of a capture.
  void run(const Product& product, const void* a, const void* b, void* y, const void* bias, cudaStream_t stream) {
    auto found = plans_.find(product);
    if (found == plans_.end()) {
      Plan plan(lt_, product);
      plan.algorithm = choose(plan, product, a, b, y, bias, stream);
      found = plans_.emplace(product, std::move(plan)).first;
    }
    lt_.check(start(found->second, found->second.algorithm, a, b, y, bias, stream),
              "cublasLtMatmul for " + text(product));
  }

 private:
  static constexpr float never = std::numeric_limits<float>::infinity();

  template <class Handle> using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

  /// cuBLASLt counts down columns: to it a row-major matrix is its transpose. So it is asked for y^T = b^T a^T, with b
  /// first: as_stored is then what it calls N, and the bias runs along its columns.
  struct Plan {
    Plan(const CublasLt& lt, const Product& p)
        : desc(made(lt), lt.desc_destroy),
          a(layout(lt, p.in, p.a == Layout::as_stored ? p.k : p.m, p.a == Layout::as_stored ? p.m : p.k, p.a_stride)),
          b(layout(lt, p.in, p.b == Layout::as_stored ? p.n : p.k, p.b == Layout::as_stored ? p.k : p.n, p.b_stride)),
          y(layout(lt, p.out, p.n, p.m, p.y_stride)),
          beta(p.accumulate == Accumulate::yes ? 1.0f : 0.0f) {
      set(lt, CUBLASLT_MATMUL_DESC_TRANSA, operation(p.b));
      set(lt, CUBLASLT_MATMUL_DESC_TRANSB, operation(p.a));
      if (p.bias == Bias::row) {
        set(lt, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(lt, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type(p.in));
      }
    }

    template <class Value> void set(const CublasLt& lt, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
      lt.check(lt.desc_set(desc.get(), attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
    }

    Owned<cublasLtMatmulDesc_t> desc;
    Owned<cublasLtMatrixLayout_t> a, b, y;
    float beta;
    AlgorithmBits algorithm{};

   private:
    static cublasOperation_t operation(Layout l) { return l == Layout::as_stored ? CUBLAS_OP_N : CUBLAS_OP_T; }
    static cudaDataType_t type(Number n) { return n == Number::bf16 ? CUDA_R_16BF : CUDA_R_32F; }
    static cublasLtMatmulDesc_t made(const CublasLt& lt) {
      cublasLtMatmulDesc_t desc = nullptr;
      // Not CUBLAS_COMPUTE_32F_FAST_TF32: float means float.
      lt.check(lt.desc_create(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
      return desc;
    }
    static Owned<cublasLtMatrixLayout_t> layout(const CublasLt& lt, Number n, std::int64_t rows, std::int64_t columns,
                                                std::int64_t stride) {
      cublasLtMatrixLayout_t layout = nullptr;
      const auto height = static_cast<std::uint64_t>(rows), width = static_cast<std::uint64_t>(columns);
      lt.check(lt.layout_create(&layout, type(n), height, width, stride), "cublasLtMatrixLayoutCreate");
      return {layout, lt.layout_destroy};
    }
  };

  static std::string owner(const cudaDeviceProp& gpu) {
    int driver = 0;
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    return std::string(gpu.name) + ", driver " + std::to_string(driver) + ", cuBLASLt " +
           std::to_string(cublaslt().version());
  }

  cublasStatus_t start(Plan& plan, const AlgorithmBits& bits, const void* a, const void* b, void* y, const void* bias,
                       cudaStream_t stream) {
    if (bias != nullptr) plan.set(lt_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const float alpha = 1;
    const cublasLtMatmulAlgo_t algorithm = algorithm_of(bits);
    return lt_.matmul(handle_, plan.desc.get(), &alpha, b, plan.b.get(), a, plan.a.get(), &plan.beta, y, plan.y.get(),
                      y, plan.y.get(), &algorithm, workspace_.data(), static_cast<std::size_t>(workspace_.size()),
                      stream);
  }

  AlgorithmBits choose(Plan& plan, const Product& product, const void* a, const void* b, void* y, const void* bias,
                       cudaStream_t stream) {
    if (bias != nullptr) plan.set(lt_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);  // its alignment is looked at
    const std::string key = text(representative(product));
    const auto usable = [&](const AlgorithmBits& bits) { return fits(plan, bits); };
    const auto known = file_.find(key);
    if (known && usable(*known)) return *known;

    const auto candidates = proposals(plan, product);
    if (candidates.size() == 1 || capturing(stream)) return candidates.front();
    const auto chosen =
        file_.find_or_choose(key, usable, [&] { return fastest(plan, product, candidates, a, b, y, bias, stream); });
    return chosen.value_or(candidates.front());
  }

  /// What the library proposes, the likeliest first.
  std::vector<AlgorithmBits> proposals(const Plan& plan, const Product& p) {
    cublasLtMatmulPreference_t made = nullptr;
    lt_.check(lt_.preference_create(&made), "cublasLtMatmulPreferenceCreate");
    const Owned<cublasLtMatmulPreference_t> preference(made, lt_.preference_destroy);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      lt_.check(lt_.preference_set(made, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_.size()));
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(p.b_alignment));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(p.a_alignment));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(p.y_alignment));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(p.y_alignment));
    cublasLtMatmulHeuristicResult_t results[most_candidates] = {};
    int count = 0;
    const cublasStatus_t status = lt_.heuristic(handle_, plan.desc.get(), plan.b.get(), plan.a.get(), plan.y.get(),
                                                plan.y.get(), made, most_candidates, results, &count);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) lt_.check(status, "cublasLtMatmulAlgoGetHeuristic for " + text(p));
    std::vector<AlgorithmBits> good;
    for (int i = 0; i < count; ++i) {
      if (results[i].state == CUBLAS_STATUS_SUCCESS) good.push_back(bits_of(results[i].algo));
    }
    if (good.empty()) throw Error("cuBLASLt has no algorithm for " + text(p) + ": use the cpu backend, or another GPU");
    return good;
  }

  /// Does the library still know the algorithm, and does it do this product in this workspace?
  bool fits(const Plan& plan, const AlgorithmBits& bits) {
    const cublasLtMatmulAlgo_t algorithm = algorithm_of(bits);
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status = lt_.algo_check(handle_, plan.desc.get(), plan.b.get(), plan.a.get(), plan.y.get(),
                                                 plan.y.get(), &algorithm, &result);
    return status == CUBLAS_STATUS_SUCCESS && result.state == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= static_cast<std::size_t>(workspace_.size());
  }

  /// The one that takes the least time on these operands. y is as before afterwards where the product adds to it.
  AlgorithmBits fastest(Plan& plan, const Product& p, const std::vector<AlgorithmBits>& candidates, const void* a,
                        const void* b, void* y, const void* bias, cudaStream_t stream) {
    // On the host, where there is room.
    std::vector<std::byte> before;
    if (p.accumulate == Accumulate::yes) {
      before.resize(static_cast<std::size_t>((p.m - 1) * p.y_stride + p.n) * (p.out == Number::bf16 ? 2 : 4));
      check(cudaMemcpyAsync(before.data(), y, before.size(), cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    }
    Event begin, end;
    const auto milliseconds = [&](const AlgorithmBits& algorithm, int times) {
      begin.record(stream);
      for (int i = 0; i < times; ++i) {
        if (start(plan, algorithm, a, b, y, bias, stream) != CUBLAS_STATUS_SUCCESS) return never;
      }
      end.record(stream);
      end.wait();
      return end.since(begin) / static_cast<float>(times);
    };
    std::size_t best = 0;
    float least = never;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      milliseconds(candidates[i], 1);  // loads the kernel
      const float once = milliseconds(candidates[i], 1);
      if (once == never) cudaGetLastError();  // a proposal that does not start is none
      if (once == never || once > 2 * least) continue;
      const int times = std::clamp(static_cast<int>(1.0f / std::max(once, 1e-3f)), 3, 30);
      // The least of three: whatever disturbs a measurement makes it longer.
      float time = once;
      for (int round = 0; round < 3; ++round) time = std::min(time, milliseconds(candidates[i], times));
      // The library's order stands unless time speaks clearly against it.
      if (time < 0.98f * least) best = i, least = time;
    }
    if (!before.empty()) {
      check(cudaMemcpyAsync(y, before.data(), before.size(), cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    }
    return candidates[best];
  }

  // Between the calls it is bits: of cublasLtMatmulAlgo_t, a struct without a name, nvcc 13.0 cannot make a vector.
  static AlgorithmBits bits_of(const cublasLtMatmulAlgo_t& algorithm) {
    AlgorithmBits bits{};
    static_assert(sizeof algorithm.data == sizeof bits);
    std::copy(std::begin(algorithm.data), std::end(algorithm.data), bits.begin());
    return bits;
  }
  static cublasLtMatmulAlgo_t algorithm_of(const AlgorithmBits& bits) {
    cublasLtMatmulAlgo_t algorithm{};
    std::copy(bits.begin(), bits.end(), std::begin(algorithm.data));
    return algorithm;
  }

  const CublasLt& lt_;
  cublasLtHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
  PlanFile file_;
  std::map<Product, Plan> plans_;
};

}  // namespace tinygpt::gpu

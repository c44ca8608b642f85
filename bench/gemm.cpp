// The three products of a linear layer, ours in float32 and in bf16, beside Eigen's float32 (build with -fopenmp to
// give Eigen its threads) and, where there is one, oneDNN's in both.
//
// Counters: FLOP/s, and their share of the peak of fused multiply-adds measured in the same run. The time is the median
// of --benchmark_repetitions where that is given; on a shared machine, give it.
#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#if __has_include(<oneapi/dnnl/dnnl.hpp>)
#  include <oneapi/dnnl/dnnl.hpp>
#endif
#if defined(_OPENMP)
#  include <omp.h>
#endif

#include <tinygpt/cpu/gemm.hpp>

#include "peak.hpp"

namespace {

using namespace tinygpt::cpu;
using tinygpt::bfloat16;

struct Size {
  std::int64_t tokens, outputs, inputs;
};

constexpr Size sizes[] = {{2048, 192, 192},  {2048, 576, 192},  {2048, 768, 192},   {2048, 192, 768}, {2048, 256, 192},
                          {2048, 384, 384},  {8192, 1536, 384}, {8192, 384, 1536},  {2048, 768, 768}, {2048, 2304, 768},
                          {2048, 3072, 768}, {2048, 768, 3072}, {2048, 50304, 768}, {64, 2304, 768},  {8, 2304, 768},
                          {1, 2304, 768},    {1, 768, 3072},    {1, 50304, 768}};

Context& context(int threads) {
  static Context one{1}, all{0};
  return threads == 1 ? one : all;
}

double peak(int threads) {
  static const double one = tinygpt::bench::measure_peak(context(1)), all = tinygpt::bench::measure_peak(context(0));
  return threads == 1 ? one : all;
}

/// x (tokens, inputs), w (outputs, inputs), y (tokens, outputs), and gradients of x and w.
template <class E> struct Layer {
  explicit Layer(Size s)
      : size(s),
        x(fill(s.tokens * s.inputs)),
        w(fill(s.outputs * s.inputs)),
        y(fill(s.tokens * s.outputs)),
        dx(x.size()),
        dw(w.size()) {}

  static std::vector<E> fill(std::int64_t count) {
    std::vector<E> v(static_cast<std::size_t>(count));
    std::uint32_t state = 12345;
    for (E& e : v) e = E(static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f - 0.5f);
    return v;
  }

  Size size;
  std::vector<E> x, w, y, dx;
  std::vector<float> dw;
};

template <class E> void ours(Context& ctx, Layer<E>& layer, char form) {
  const auto [m, n, k] = layer.size;
  if (form == 'y') gemm(ctx, m, n, k, as_stored(layer.x.data(), k), transposed(layer.w.data(), k), layer.y.data(), n);
  if (form == 'x') gemm(ctx, m, k, n, as_stored(layer.y.data(), n), as_stored(layer.w.data(), k), layer.dx.data(), k);
  if (form == 'w') {
    gemm(ctx, n, k, m, transposed(layer.y.data(), n), as_stored(layer.x.data(), k), layer.dw.data(), k,
         Accumulate::yes);
  }
}

void eigens(Layer<float>& layer, char form) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto [m, n, k] = layer.size;
  Eigen::Map<Matrix> x(layer.x.data(), m, k), w(layer.w.data(), n, k), y(layer.y.data(), m, n);
  if (form == 'y') y.noalias() = x * w.transpose();
  if (form == 'x') Eigen::Map<Matrix>(layer.dx.data(), m, k).noalias() = y * w;
  if (form == 'w') Eigen::Map<Matrix>(layer.dw.data(), n, k).noalias() += y.transpose() * x;
}

#if __has_include(<oneapi/dnnl/dnnl.hpp>)
constexpr bool has_onednn = true;

/// One product, made once as a program would: the primitive is kept, and what it needs of scratch.
template <class E> class OneDnn {
 public:
  OneDnn(Layer<E>& layer, char form) {
    const auto [m, n, k] = layer.size;
    using Tag = dnnl::memory::format_tag;
    constexpr auto type = sizeof(E) == 2 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
    const auto f32 = dnnl::memory::data_type::f32;
    using Desc = dnnl::memory::desc;
    Desc a, b, c;
    void *a_data, *b_data, *c_data;
    dnnl::primitive_attr attr;
    if (form == 'y') {
      a = Desc({m, k}, type, Tag::ab), b = Desc({k, n}, type, Tag::ba), c = Desc({m, n}, type, Tag::ab);
      a_data = layer.x.data(), b_data = layer.w.data(), c_data = layer.y.data();
    } else if (form == 'x') {
      a = Desc({m, n}, type, Tag::ab), b = Desc({n, k}, type, Tag::ab), c = Desc({m, k}, type, Tag::ab);
      a_data = layer.y.data(), b_data = layer.w.data(), c_data = layer.dx.data();
    } else {
      a = Desc({n, m}, type, Tag::ba), b = Desc({m, k}, type, Tag::ab), c = Desc({n, k}, f32, Tag::ab);
      a_data = layer.y.data(), b_data = layer.x.data(), c_data = layer.dw.data();
      dnnl::post_ops add;
      add.append_sum(1.0f);
      attr.set_post_ops(add);
    }
#  if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc plan(engine_, a, b, c, attr);
#  else
    const dnnl::matmul::primitive_desc plan({a, b, c}, attr, engine_);
#  endif
    product_ = dnnl::matmul(plan);
    arguments_ = {{DNNL_ARG_SRC, dnnl::memory(a, engine_, a_data)},
                  {DNNL_ARG_WEIGHTS, dnnl::memory(b, engine_, b_data)},
                  {DNNL_ARG_DST, dnnl::memory(c, engine_, c_data)}};
  }
  void operator()() {
    product_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul product_;
  std::unordered_map<int, dnnl::memory> arguments_;
};
#else
constexpr bool has_onednn = false;

template <class E> struct OneDnn {
  OneDnn(Layer<E>&, char) {}
  void operator()() {}
};
#endif

enum class Side { tinygpt, eigen, onednn };

template <class E> void run(benchmark::State& state, Size size, char form, int threads, Side side) {
  const double top = peak(threads);
  Layer<E> layer(size);
  Context& ctx = context(threads);
  Eigen::setNbThreads(ctx.threads());
#if defined(_OPENMP)
  omp_set_num_threads(ctx.threads());
#endif
  OneDnn<E> other(layer, form);
  for (auto _ : state) {
    if (side == Side::onednn) {
      other();
    } else if (side == Side::tinygpt) {
      ours(ctx, layer, form);
    } else if constexpr (std::is_same_v<E, float>) {
      eigens(layer, form);
    }
    benchmark::ClobberMemory();
  }
  const double flops = 2.0 * static_cast<double>(size.tokens * size.outputs * size.inputs);
  const double iterations = static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(flops * iterations, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(flops * iterations / top, benchmark::Counter::kIsRate);
  const double bytes = static_cast<double>(sizeof(E)) *
                       static_cast<double>(size.outputs * size.inputs);  // of weights: the limit of decoding
  state.counters["weights_B/s"] = benchmark::Counter(bytes * iterations, benchmark::Counter::kIsRate);
}

template <class E> void add(const std::string& name, Size size, char form, int threads, Side side) {
  benchmark::RegisterBenchmark(name.c_str(), run<E>, size, form, threads, side)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.1);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Size size : sizes) {
    for (const char form : {'y', 'x', 'w'}) {
      if (size.tokens < 12 && form != 'y') continue;  // decoding has no backward
      for (const int threads : {1, 0}) {
        const std::string name = std::string("/") + (form == 'y' ? "" : "d") + form + "/" +
                                 std::to_string(size.tokens) + "x" + std::to_string(size.outputs) + "x" +
                                 std::to_string(size.inputs) + (threads == 1 ? "/1_thread" : "/all_threads");
        add<float>("tinygpt" + name, size, form, threads, Side::tinygpt);
        add<float>("eigen" + name, size, form, threads, Side::eigen);
        if (has_onednn) add<float>("onednn" + name, size, form, threads, Side::onednn);
        add<bfloat16>("tinygpt_bf16" + name, size, form, threads, Side::tinygpt);
        if (has_onednn) add<bfloat16>("onednn_bf16" + name, size, form, threads, Side::onednn);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

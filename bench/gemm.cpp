// The three products of a linear layer, ours beside Eigen's (build with -fopenmp to give Eigen its threads).
//
// Counters: FLOP/s, and their share of the peak of fused multiply-adds measured in the same run. The time is the median
// of --benchmark_repetitions where that is given; on a shared machine, give it.
#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <vector>

#include <tinygpt/cpu/gemm.hpp>

#include "peak.hpp"

namespace {

using namespace tinygpt::cpu;

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
struct Layer {
  explicit Layer(Size s)
      : size(s),
        x(fill(s.tokens * s.inputs)),
        w(fill(s.outputs * s.inputs)),
        y(fill(s.tokens * s.outputs)),
        dx(x.size()),
        dw(w.size()) {}

  static std::vector<float> fill(std::int64_t count) {
    std::vector<float> v(static_cast<std::size_t>(count));
    std::uint32_t state = 12345;
    for (float& e : v) e = static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f - 0.5f;
    return v;
  }

  Size size;
  std::vector<float> x, w, y, dx, dw;
};

void ours(Context& ctx, Layer& layer, char form) {
  const auto [m, n, k] = layer.size;
  if (form == 'y') gemm(ctx, m, n, k, as_stored(layer.x.data(), k), transposed(layer.w.data(), k), layer.y.data(), n);
  if (form == 'x') gemm(ctx, m, k, n, as_stored(layer.y.data(), n), as_stored(layer.w.data(), k), layer.dx.data(), k);
  if (form == 'w') {
    gemm(ctx, n, k, m, transposed(layer.y.data(), n), as_stored(layer.x.data(), k), layer.dw.data(), k,
         Accumulate::yes);
  }
}

void eigens(Layer& layer, char form) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto [m, n, k] = layer.size;
  Eigen::Map<Matrix> x(layer.x.data(), m, k), w(layer.w.data(), n, k), y(layer.y.data(), m, n);
  if (form == 'y') y.noalias() = x * w.transpose();
  if (form == 'x') Eigen::Map<Matrix>(layer.dx.data(), m, k).noalias() = y * w;
  if (form == 'w') Eigen::Map<Matrix>(layer.dw.data(), n, k).noalias() += y.transpose() * x;
}

void run(benchmark::State& state, Size size, char form, int threads, bool eigen) {
  const double top = peak(threads);
  Layer layer(size);
  Context& ctx = context(threads);
  Eigen::setNbThreads(ctx.threads());
  for (auto _ : state) {
    if (eigen) {
      eigens(layer, form);
    } else {
      ours(ctx, layer, form);
    }
    benchmark::ClobberMemory();
  }
  const double flops = 2.0 * static_cast<double>(size.tokens * size.outputs * size.inputs);
  const double iterations = static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(flops * iterations, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(flops * iterations / top, benchmark::Counter::kIsRate);
  const double bytes = 4.0 * static_cast<double>(size.outputs * size.inputs);  // of weights: the limit of decoding
  state.counters["weights_B/s"] = benchmark::Counter(bytes * iterations, benchmark::Counter::kIsRate);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Size size : sizes) {
    for (const char form : {'y', 'x', 'w'}) {
      if (size.tokens < 12 && form != 'y') continue;  // decoding has no backward
      for (const int threads : {1, 0}) {
        for (const bool eigen : {false, true}) {
          const std::string name = std::string(eigen ? "eigen" : "tinygpt") + "/" + (form == 'y' ? "" : "d") + form +
                                   "/" + std::to_string(size.tokens) + "x" + std::to_string(size.outputs) + "x" +
                                   std::to_string(size.inputs) + (threads == 1 ? "/1_thread" : "/all_threads");
          benchmark::RegisterBenchmark(name.c_str(), run, size, form, threads, eigen)
              ->UseRealTime()
              ->Unit(benchmark::kMicrosecond)
              ->MinTime(0.1);
        }
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

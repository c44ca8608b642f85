// A whole training step of a preset: tokens/s, FLOP/s, and its share of the matrix product's rate in the same run.
#include <benchmark/benchmark.h>

#include <chrono>
#include <string>
#include <vector>

#include <tinygpt/presets/classic.hpp>
#include <tinygpt/tinygpt.hpp>

namespace {

using namespace tinygpt;

template <class E> cpu::BasicContext<E>& context() {
  static cpu::BasicContext<E> ctx;
  return ctx;
}

/// FLOP/s of the product that a step of this model does most: tokens x C times C x 4C; the best of some.
template <class E> double gemm_rate(std::int64_t tokens, std::int64_t width) {
  const std::vector<E> a(static_cast<std::size_t>(tokens * width), E(0.5f)),
      b(static_cast<std::size_t>(4 * width * width), E(0.25f));
  std::vector<E> c(static_cast<std::size_t>(tokens * 4 * width));
  double fastest = 1e30;
  for (int i = 0; i < 8; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    cpu::gemm(context<E>(), tokens, 4 * width, width, cpu::as_stored(a.data(), width), cpu::transposed(b.data(), width),
              c.data(), 4 * width);
    fastest = std::min(fastest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return 8.0 * static_cast<double>(tokens * width * width) / fastest;
}

/// Arguments: batch size, dropout in percent.
template <Architecture M, class E> void train_step(benchmark::State& state) {
  const int batch = static_cast<int>(state.range(0));
  std::vector<std::int32_t> text(1 << 20);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::int32_t>(i * i / 7 % M::config.vocab);
  const TokenStream data(std::move(text));
  Trainer<M, cpu::BasicContext<E>> trainer(
      context<E>(), {.batch_size = batch, .dropout = static_cast<double>(state.range(1)) / 100, .eval_iters = 1});
  trainer.step(data);
  for (auto _ : state) benchmark::DoNotOptimize(trainer.step(data).loss);
  const auto tokens = static_cast<double>(state.iterations()) * batch * M::config.ctx;
  const double flops = tokens * static_cast<double>(M::train_flops_per_token());
  state.counters["tokens/s"] = benchmark::Counter(tokens, benchmark::Counter::kIsRate);
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
  state.counters["of_gemm"] = benchmark::Counter(
      flops / gemm_rate<E>(std::int64_t{batch} * M::config.ctx, M::config.embd), benchmark::Counter::kIsRate);
}

template <Architecture M> void add(const std::string& name, int batch, int dropout) {
  const auto both = [&](const std::string& which, auto* function) {
    benchmark::RegisterBenchmark(which.c_str(), function)
        ->Args({batch, 0})
        ->Args({batch, dropout})
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  both(name, train_step<M, float>);
  both(name + "_bf16", train_step<M, bfloat16>);
}

}  // namespace

int main(int argc, char** argv) {
  add<presets::tiny_char>("tiny_char", 16, 10);
  add<presets::small_char>("small_char", 32, 20);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

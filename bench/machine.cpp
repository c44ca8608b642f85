// What the machine can do at most, of which the other benchmarks state their shares: float32 multiply-adds on
// registers, and bytes read from memory, on one thread and on all.
#include <benchmark/benchmark.h>

#include <string>

#include "peak.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const int threads : {1, 0}) {
    const auto add = [&](const std::string& name, const char* counter, auto* measure) {
      benchmark::RegisterBenchmark((name + (threads == 1 ? "/1_thread" : "/all_threads")).c_str(),
                                   [=](benchmark::State& state) {
                                     tinygpt::cpu::Context ctx(threads);
                                     double best = 0;
                                     for (auto _ : state) best = std::max(best, measure(ctx));
                                     state.counters[counter] = best;
                                   })
          ->Iterations(3)
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    };
    add(
        "multiply_adds", "FLOP/s", +[](tinygpt::cpu::Context& ctx) { return tinygpt::bench::measure_peak(ctx); });
    add(
        "read_memory", "B/s", +[](tinygpt::cpu::Context& ctx) { return tinygpt::bench::measure_read_bandwidth(ctx); });
  }
  benchmark::RunSpecifiedBenchmarks();
}

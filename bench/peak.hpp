// What the machine can do at most: the yardstick of the other benchmarks.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include <tinygpt/cpu/context.hpp>
#include <tinygpt/cpu/vec.hpp>
#include <tinygpt/layout/arena.hpp>

namespace tinygpt::bench {

/// Seconds per call of f: the best of several, after one call that warms up.
template <class F> double best_seconds(int repeats, F&& f) {
  double best = 1e30;
  for (int i = 0; i <= repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (i > 0) best = std::min(best, seconds);
  }
  return best;
}

/// Fused multiply-adds on registers alone, enough independent ones to hide their latency: FLOP/s of all threads.
inline double measure_peak(cpu::Context& ctx) {
  constexpr int chains = 12;
  constexpr std::int64_t steps = 200'000;
  const double seconds = best_seconds(10, [&] {
    ctx.parallel_for(ctx.threads(), [](int task, int) {
      cpu::Floats x[chains];
      cpu::unroll<chains>([&](auto i) { x[i] = cpu::broadcast(static_cast<float>(task + i)); });
      const cpu::Floats a = cpu::broadcast(0.999f), b = cpu::broadcast(1e-3f);
      for (std::int64_t step = 0; step < steps; ++step) {
        cpu::unroll<chains>([&](auto i) __attribute__((always_inline)) { x[i] = cpu::fma(x[i], a, b); });
      }
      cpu::unroll<chains>([&](auto i) { x[0] = x[0] + x[i]; });
      volatile float sink = cpu::sum(x[0]);
      static_cast<void>(sink);
    });
  });
  return 2.0 * chains * cpu::vector_width * static_cast<double>(steps) * ctx.threads() / seconds;
}

/// All threads together read an array, each vector of it once, but for less than 256 KiB at its end.
inline void read_once(cpu::Workers& ctx, const float* memory, std::int64_t floats) {
  constexpr std::int64_t part_floats = 1 << 16;
  constexpr int chains = 8;
  ctx.parallel_for(static_cast<int>(floats / part_floats), [&](int part, int) {
    const float* p = memory + part * part_floats;
    cpu::Floats sums[chains] = {};
    for (std::int64_t i = 0; i < part_floats; i += chains * cpu::vector_width) {
      cpu::unroll<chains>([&](auto c) __attribute__((always_inline)) {
        sums[c] = sums[c] + cpu::load(p + i + c * cpu::vector_width);
      });
    }
    cpu::unroll<chains>([&](auto c) { sums[0] = sums[0] + sums[c]; });
    volatile float sink = cpu::sum(sums[0]);
    static_cast<void>(sink);
  });
}

/// Bytes per second that all threads together read of memory: an array of 1 GiB, far larger than any cache.
inline double measure_read_bandwidth(cpu::Workers& ctx) {
  constexpr std::int64_t bytes = std::int64_t{1} << 30;
  const Arena<float> memory(bytes / 4);  // on huge pages, as weights are
  return static_cast<double>(bytes) / best_seconds(8, [&] { read_once(ctx, memory.data(), memory.size()); });
}

}  // namespace tinygpt::bench

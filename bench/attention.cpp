// Attention: forward, backward and decoding, with FLOP/s and their share of the measured peak.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <vector>

#include <tinygpt/cpu/flash_attention.hpp>

#include "peak.hpp"

namespace {

using namespace tinygpt::cpu;

constexpr AttentionShape shapes[] = {{16, 128, 4, 4, 48}, {32, 256, 6, 6, 64}, {8, 512, 6, 6, 32},
                                     {4, 512, 6, 6, 80},  {4, 512, 8, 8, 128}, {4, 1024, 12, 4, 64}};

Context& context(std::int64_t threads) {
  static Context one{1}, all{0};
  return threads == 1 ? one : all;
}

double peak(std::int64_t threads) {
  static const double one = tinygpt::bench::measure_peak(context(1)), all = tinygpt::bench::measure_peak(context(0));
  return threads == 1 ? one : all;
}

std::vector<float> fill(std::int64_t count) {
  std::vector<float> v(static_cast<std::size_t>(count));
  std::uint32_t state = 12345;
  for (float& e : v) e = static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-22f - 2.0f;
  return v;
}

void label(benchmark::State& state, const AttentionShape& s, double flops) {
  char text[96];
  std::snprintf(text, sizeof text, "B%d T%d heads %d/%d Dh%d, %s", static_cast<int>(s.batch), static_cast<int>(s.time),
                s.query_heads, s.kv_heads, s.head_dim, state.range(1) == 1 ? "1 thread" : "all threads");
  state.SetLabel(text);
  const double all = flops * static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(all, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(all / peak(state.range(1)), benchmark::Counter::kIsRate);
}

struct Arrays {
  explicit Arrays(const AttentionShape& s)
      : qkv(fill(s.batch * s.time * (s.query_heads + 2 * s.kv_heads) * s.head_dim)),
        dqkv(qkv.size()),
        dy(fill(s.batch * s.time * s.query_heads * s.head_dim)),
        y(dy.size()),
        lse(static_cast<std::size_t>(s.batch * s.time * s.query_heads)) {}
  std::vector<float> qkv, dqkv, dy, y, lse;
};

/// Only the half of the scores at or below the diagonal counts.
double forward_flops(const AttentionShape& s) {
  return 2.0 * static_cast<double>(s.batch * s.time * (s.time + 1) * s.query_heads * s.head_dim);
}

/// Arguments: index of the shape; threads, 0 for all; percent to drop.
void forward(benchmark::State& state) {
  const AttentionShape& s = shapes[state.range(0)];
  Arrays a(s);
  const AttentionDropout dropout{{static_cast<std::uint32_t>(state.range(2) * 65536 / 100), 1, 2, 3}, s.time};
  for (auto _ : state) {
    attention_forward(context(state.range(1)), a.y.data(), a.lse.data(), a.qkv.data(), s, dropout);
  }
  label(state, s, forward_flops(s));
}

void backward(benchmark::State& state) {
  const AttentionShape& s = shapes[state.range(0)];
  Arrays a(s);
  const AttentionDropout dropout{{static_cast<std::uint32_t>(state.range(2) * 65536 / 100), 1, 2, 3}, s.time};
  attention_forward(context(state.range(1)), a.y.data(), a.lse.data(), a.qkv.data(), s, dropout);
  for (auto _ : state) {
    attention_backward(context(state.range(1)), a.dqkv.data(), a.dy.data(), a.y.data(), a.lse.data(), a.qkv.data(), s,
                       dropout);
  }
  label(state, s, 2.5 * forward_flops(s));
}

/// One query at the last position of a full cache.
void decode(benchmark::State& state) {
  const AttentionShape& s = shapes[state.range(0)];
  const std::int64_t width = std::int64_t{s.query_heads} * s.head_dim;
  const std::vector<float> k = fill(s.time * s.kv_heads * s.head_dim), v = k, q = fill(width);
  std::vector<float> y(q.size());
  for (auto _ : state) {
    attention_decode(context(state.range(1)), y.data(), q.data(), static_cast<int>(s.time) - 1, k.data(), v.data(),
                     s.time, {1, 1, s.query_heads, s.kv_heads, s.head_dim});
  }
  label(state, s, 4.0 * static_cast<double>(s.time * width));
  state.SetBytesProcessed(state.iterations() * 2 * static_cast<std::int64_t>(k.size() * sizeof(float)));
}

BENCHMARK(forward)->ArgsProduct({{0, 1, 2, 3, 4, 5}, {1, 0}, {0, 10}})->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(backward)->ArgsProduct({{0, 1, 2, 3, 4, 5}, {1, 0}, {0, 10}})->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(decode)->ArgsProduct({{0, 1, 5}, {1, 0}})->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();

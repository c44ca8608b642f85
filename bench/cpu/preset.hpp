// One preset on the CPU, in float32 and in bf16: a training step, decoding token by token, one sequence or
// several, and reading a prompt.
// Medians of the iterations' times; the other side is bench/pytorch/cpu.py, and scripts/bench-cpu.sh runs both.
//
//   tinygpt-bench-cpu-<preset> --benchmark_filter=train/bf16 [--batch=N] [--warmup=N] [--steps=N] [--dropout=P]
//   [--text=FILE]
//                              [--exchange=DIR] [--benchmark_format=json ...]
//
// With --exchange, DIR gets what another program needs to take the same steps, where it is not there yet: `weights`,
// the first weights as float32 in the order of the parameter table, and `windows`, of every step batch x (ctx + 1)
// tokens as int32; and then `losses-<precision>`, a loss per line.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <limits>
#include <string>
#include <vector>

#include <tinygpt/presets/gpt2.hpp>
#include <tinygpt/tinygpt.hpp>

#include "../peak.hpp"

namespace tinygpt::bench {

/// What is trained for a preset: itself; GPT-2 on windows of 256 tokens, as llm.c's published figures are.
template <Architecture M> struct AsTrained { using type = M; };
template <> struct AsTrained<presets::gpt2> {
  using type = GPT<Layers<12>, Embd<768>, Heads<12>, Ctx<256>, Vocab<50257>, Bias<all>, Activation<gelu_tanh>>;
};

struct Flags {
  int batch = 4, warmup = 2, steps = 5;
  double dropout = 0;
  std::string text, exchange;
};

inline Flags& flags() {
  static Flags value;
  return value;
}

/// Takes the flags that Google Benchmark has left.
inline void read_flags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals),
                      value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (name == "--batch") {
      flags().batch = std::stoi(value);
    } else if (name == "--warmup") {
      flags().warmup = std::stoi(value);
    } else if (name == "--steps") {
      flags().steps = std::stoi(value);
    } else if (name == "--dropout") {
      flags().dropout = std::stod(value);
    } else if (name == "--text") {
      flags().text = value;
    } else if (name == "--exchange") {
      flags().exchange = value;
    } else {
      throw Error("there is no flag " + argument +
                  ": give --batch, --warmup, --steps, --dropout, --text or --exchange=VALUE");
    }
  }
}

inline double median(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const std::size_t n = numbers.size();
  return (numbers[n / 2] + numbers[(n - 1) / 2]) / 2;
}

/// Times of the iterations, of which the median is told.
class Times {
 public:
  /// The seconds that f took.
  template <class F> double add(F&& f) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    seconds_.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    return seconds_.back();
  }
  double median() const { return bench::median(seconds_); }
  double fastest() const { return *std::min_element(seconds_.begin(), seconds_.end()); }

 private:
  std::vector<double> seconds_;
};

inline void tell(benchmark::State& state, const Times& times, double tokens) {
  state.counters["median_s"] = times.median();
  state.counters["fastest_s"] = times.fastest();
  state.counters["tokens"] = tokens;
  state.counters["tokens/s"] = tokens / times.median();
}

template <class E> constexpr const char* precision = std::is_same_v<E, float> ? "float32" : "bf16";

template <class E> cpu::BasicContext<E>& context() {
  static cpu::BasicContext<E> ctx;
  return ctx;
}

/// The text's bytes; where the vocabulary is larger, two bytes make a token, which spreads them over it. Without a
/// text, noise.
template <Architecture M> TokenStream corpus() {
  constexpr auto vocab = static_cast<std::uint64_t>(M::config.vocab);
  std::vector<std::int32_t> tokens;
  if (flags().text.empty()) {
    for (std::uint64_t i = 0; i < (1u << 20); ++i) {
      tokens.push_back(static_cast<std::int32_t>(random_bits(1, Purpose::training_batch, i, 7)[0] % vocab));
    }
  } else {
    std::ifstream file(flags().text, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.empty()) throw Error("cannot read " + flags().text + ", or it is empty: give a text to train on");
    const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])); };
    if constexpr (vocab <= 256) {
      for (std::size_t i = 0; i < bytes.size(); ++i) tokens.push_back(static_cast<std::int32_t>(byte(i) % vocab));
    } else {
      for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        tokens.push_back(static_cast<std::int32_t>((byte(i) * 256 + byte(i + 1)) % vocab));
      }
    }
  }
  return TokenStream(std::move(tokens));
}

template <class N> void append(std::ofstream& file, std::span<const N> numbers) {
  file.write(reinterpret_cast<const char*>(numbers.data()), static_cast<std::streamsize>(numbers.size_bytes()));
}

/// Writes `name` in the folder of --exchange unless it is there; whole or not at all.
template <class Write> void write_once(const char* name, Write&& write) {
  const std::filesystem::path path = std::filesystem::path(flags().exchange) / name;
  if (std::filesystem::exists(path)) return;
  std::filesystem::create_directories(flags().exchange);
  {
    std::ofstream file(path.string() + ".new", std::ios::binary);
    write(file);
    if (!file.flush()) throw Error("cannot write " + path.string() + ": free some space, or give another --exchange");
  }
  std::filesystem::rename(path.string() + ".new", path);
}

template <Architecture M>
void write_exchange(const TokenStream& data, std::span<const float> weights, std::uint64_t seed) {
  write_once("weights", [&](std::ofstream& file) {
    for (const ParamRow& row : M::params) {
      for (std::int64_t l = 0; l < row.layers; ++l) {
        append(file, weights.subspan(static_cast<std::size_t>(row.offset + l * row.stride),
                                     static_cast<std::size_t>(row.layer_size())));
      }
    }
  });
  write_once("windows", [&](std::ofstream& file) {
    constexpr std::size_t T = M::config.ctx;
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(flags().batch) * T), targets(tokens.size());
    for (int step = 1; step <= flags().warmup + flags().steps; ++step) {
      data.draw(tokens, targets, M::config.ctx, seed, Purpose::training_batch, static_cast<std::uint64_t>(step));
      for (std::size_t b = 0; b < tokens.size(); b += T) {
        append(file, std::span<const std::int32_t>(tokens).subspan(b, T));
        append(file, std::span<const std::int32_t>(targets).subspan(b + T - 1, 1));
      }
    }
  });
}

/// FLOP/s of the product that a step of this model does most: tokens x C times C x 4C; the best of some.
template <class E> double gemm_rate(std::int64_t tokens, std::int64_t width) {
  const std::vector<E> a(static_cast<std::size_t>(tokens * width), E(0.5f)),
      b(static_cast<std::size_t>(4 * width * width), E(0.25f));
  std::vector<E> c(static_cast<std::size_t>(tokens * 4 * width));
  Times times;
  for (int i = 0; i < 8; ++i) {
    times.add([&] {
      cpu::gemm(context<E>(), tokens, 4 * width, width, cpu::as_stored(a.data(), width),
                cpu::transposed(b.data(), width), c.data(), 4 * width);
    });
  }
  return 8.0 * static_cast<double>(tokens * width * width) / times.fastest();
}

/// The rate of learning rises over ten steps and then stays, so that short runs learn something.
template <Architecture M, class E> void train(benchmark::State& state) {
  const TrainOptions options{.batch_size = flags().batch,
                             .learning_rate = 1e-3,
                             .min_learning_rate = 1e-3,
                             .warmup_iters = 10,
                             .dropout = flags().dropout,
                             .eval_iters = 1};
  const TokenStream data = corpus<M>();
  Trainer<M, cpu::BasicContext<E>> trainer(context<E>(), options);
  if (!flags().exchange.empty()) write_exchange<M>(data, trainer.weights(), options.seed);
  std::vector<double> losses;
  for (int i = 0; i < flags().warmup; ++i) losses.push_back(trainer.step(data).loss);
  Times times;
  for (auto _ : state) times.add([&] { losses.push_back(trainer.step(data).loss); });
  if (!flags().exchange.empty()) {
    std::ofstream file(std::filesystem::path(flags().exchange) / (std::string("losses-") + precision<E>));
    file << std::setprecision(std::numeric_limits<double>::max_digits10);
    for (const double loss : losses) file << loss << '\n';
  }
  const double tokens = static_cast<double>(flags().batch) * M::config.ctx;
  tell(state, times, tokens);
  const double rate = tokens * static_cast<double>(M::train_flops_per_token()) / times.median();
  state.counters["FLOP/s"] = rate;
  state.counters["of_gemm"] = rate / gemm_rate<E>(std::int64_t{flags().batch} * M::config.ctx, M::config.embd);
  state.counters["params"] = static_cast<double>(M::param_count);
  state.counters["loss"] = losses.back();
}

/// Weights as training begins with: what they are makes no difference to the time.
template <Architecture M, class E> class Model {
 public:
  explicit Model(int batch = 1)
      : weights_(M::params.arena_size()), generator_(context<E>(), read(weights_.span()), Batch{batch}) {}
  std::span<const E> decode(std::span<const std::int32_t> tokens, int first) {
    return generator_.decode(tokens, first);
  }
  /// Seconds in which the weights are read, and nothing is done with them: the median of some readings.
  double reading() const {
    Times times;
    for (int i = 0; i < 9; ++i) {
      times.add([&] {
        read_once(context<E>(), reinterpret_cast<const float*>(weights_.data()),
                  weights_.size() / (sizeof(float) / sizeof(E)));
      });
    }
    return times.median();
  }
  /// As many tokens after each prompt, the likeliest.
  void write(const std::vector<std::vector<std::int32_t>>& prompts, int length) {
    generator_.generate(prompts, length, {.temperature = 0}, [](std::size_t, std::int32_t) { return true; });
  }

 private:
  static std::span<const E> read(std::span<E> weights) {
    initialize<M, float>(1337, [&](std::int64_t first, std::span<const float> values) {
      std::transform(values.begin(), values.end(), weights.begin() + first, [](float value) { return E(value); });
    });
    return weights;
  }
  Arena<E> weights_;
  Generator<M, cpu::BasicContext<E>> generator_;
};

/// An iteration writes 128 tokens from the beginning, each the likeliest after those before it.
template <Architecture M, class E> void decode(benchmark::State& state) {
  constexpr int length = std::min(128, M::config.ctx);
  Model<M, E> model;
  const auto write = [&] {
    std::int32_t token = 1;
    for (int position = 0; position < length; ++position) {
      token = static_cast<std::int32_t>(likeliest(model.decode(std::span<const std::int32_t>(&token, 1), position)));
    }
  };
  write();
  // Neighbours take a part of the memory's bandwidth, which changes from second to second: so it is measured beside.
  Times times;
  std::vector<double> shares;
  for (auto _ : state) {
    const double before = model.reading(), seconds = times.add(write);
    shares.push_back(length * (before + model.reading()) / 2 / seconds);
  }
  tell(state, times, length);
  // Each token reads all weights once, but of the positions a single row; with a tied head, the embedding is the head.
  const std::int64_t positions = M::config.positions == learned ? std::int64_t{M::config.ctx} * M::config.embd : 0;
  const double bytes = static_cast<double>(M::param_count - positions) * sizeof(E);
  state.counters["weight_bytes"] = bytes;
  state.counters["weights_B/s"] = bytes * length / times.median();
  state.counters["of_reading"] = median(shares) * bytes / static_cast<double>(M::param_count * sizeof(E));
}

/// The same of --batch sequences at once.
template <Architecture M, class E> void decode_together(benchmark::State& state) {
  constexpr int length = std::min(128, M::config.ctx);
  Model<M, E> model(flags().batch);
  const std::vector<std::vector<std::int32_t>> prompts(static_cast<std::size_t>(flags().batch), {1});
  model.write(prompts, length);
  Times times;
  for (auto _ : state) times.add([&] { model.write(prompts, length); });
  tell(state, times, static_cast<double>(flags().batch) * length);
}

/// An iteration reads as much of a prompt as the context holds, up to 1024 tokens.
template <Architecture M, class E> void prompt(benchmark::State& state) {
  constexpr int length = std::min(1024, M::config.ctx);
  Model<M, E> model;
  std::vector<std::int32_t> tokens(length);
  for (int i = 0; i < length; ++i) tokens[static_cast<std::size_t>(i)] = i * 7919 % M::config.vocab;
  model.decode(tokens, 0);
  Times times;
  for (auto _ : state) times.add([&] { benchmark::DoNotOptimize(model.decode(tokens, 0).data()); });
  tell(state, times, length);
}

template <Architecture M> int main(const char* name, int argc, char** argv) {
  try {
    benchmark::AddCustomContext("preset", name);
    benchmark::Initialize(&argc, argv);
    read_flags(argc, argv);
    const auto add = [](const std::string& what, auto* function) {
      benchmark::RegisterBenchmark(what.c_str(), function)
          ->Iterations(flags().steps)
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    };
    using Trained = typename AsTrained<M>::type;
    add("train/float32", train<Trained, float>);
    add("train/bf16", train<Trained, bfloat16>);
    add("decode/float32", decode<M, float>);
    add("decode/bf16", decode<M, bfloat16>);
    add("decode_together/float32", decode_together<M, float>);
    add("decode_together/bf16", decode_together<M, bfloat16>);
    add("prompt/float32", prompt<M, float>);
    add("prompt/bf16", prompt<M, bfloat16>);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace tinygpt::bench

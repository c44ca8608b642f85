// One preset on the GPU, as its users train it and let it write: tokens per second, step time, share of the card's peak,
// memory. Lines of JSON; the other side is bench/pytorch/gpu_train_step.py.
//
//   tinygpt-bench-gpu-<preset> train|decode [--batch N] [--steps N] [--recompute none|activations|blocks]
#pragma once

#include <cstdlib>
#include <cstring>

#include <timing.cuh>

#include <tinygpt/data/token_stream.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/gpu/gpu.cuh>
#include <tinygpt/train/trainer.hpp>

namespace tinygpt::bench {

struct Flags {
  std::string what;
  int batch = 8, steps = 20;
  Recompute recompute = Recompute::none;
};

inline Flags flags_of(int argc, char** argv) {
  Flags flags;
  flags.what = argc > 1 ? argv[1] : "";
  if (flags.what != "train" && flags.what != "decode") throw Error("write train or decode after the program's name");
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--batch") {
      flags.batch = std::stoi(value);
    } else if (flag == "--steps") {
      flags.steps = std::stoi(value);
    } else if (flag == "--recompute" && (value == "none" || value == "activations" || value == "blocks")) {
      flags.recompute = value == "none" ? Recompute::none : value == "blocks" ? Recompute::blocks : Recompute::activations;
    } else {
      throw Error("there is no " + flag + " " + value + ": give --batch N, --steps N or --recompute KIND");
    }
  }
  return flags;
}

inline std::int64_t free_memory() {
  std::size_t free = 0, total = 0;
  gpu::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<std::int64_t>(free);
}

/// Random tokens: a step takes as long on them as on text.
template <Architecture M>
TokenStream noise() {
  std::vector<std::int32_t> tokens(1 << 20);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(random_bits(1, Purpose::training_batch, i, 7)[0] % M::config.vocab);
  }
  return TokenStream(std::move(tokens));
}

template <Architecture M>
void train(const char* name, const Flags& flags) {
  const TokenStream data = noise<M>();
  gpu::check(cudaFree(nullptr), "cudaFree");  // what CUDA itself takes is no memory of the model's
  const std::int64_t before = free_memory();
  gpu::Context<bfloat16> ctx(0, gpu::train_workspace(M::config, flags.batch, M::config.ctx));
  Trainer<M, gpu::Context<bfloat16>> trainer(ctx, {.batch_size = flags.batch, .recompute = flags.recompute});
  StepReport report;
  for (int i = 0; i < 5; ++i) report = trainer.step(data);  // plans are found, the graph is recorded
  const double first_loss = report.loss;
  std::vector<double> seconds;
  for (int i = 0; i < flags.steps; ++i) seconds.push_back(seconds_of([&] { report = trainer.step(data); }));
  const double fastest = *std::min_element(seconds.begin(), seconds.end()), step = median(std::move(seconds));
  const double tokens = static_cast<double>(flags.batch) * M::config.ctx;
  const double flops = tokens * static_cast<double>(M::train_flops_per_token()) / step;
  const double peak = gpu::find_device(0).peak_flops;
  Result("train", name)
      .add("batch", flags.batch)
      .add("tokens", tokens)
      .add("seconds", step)
      .add("fastest", fastest)
      .add("tokens_per_second", tokens / step)
      .add("flops", flops)
      .add("mfu", peak > 0 ? flops / peak : 0)
      .add("peak_bytes", static_cast<double>(before - free_memory()))
      .add("params", static_cast<double>(M::param_count))
      .add("first_loss", first_loss)
      .add("last_loss", report.loss)
      .print();
}

/// One sequence, token by token, each the likeliest after those before it.
template <Architecture M>
void decode(const char* name, const Flags& flags) {
  using E = bfloat16;
  const std::int64_t before = free_memory();
  gpu::Context<E> ctx(0, gpu::generate_workspace(M::config));
  auto memory = allocate(ctx, M::params.arena_size() * static_cast<std::int64_t>(sizeof(E)));
  E* const weights = reinterpret_cast<E*>(memory.data());
  initialize<M, float>(1337, [&](std::int64_t first, std::span<const float> values) {
    const std::vector<E> rounded(values.begin(), values.end());
    copy_in(ctx, weights + first, std::span<const E>(rounded));
  });
  Generator<M, gpu::Context<E>> generator(ctx, {weights, static_cast<std::size_t>(M::params.arena_size())});
  const auto write = [&](int tokens) {
    generator.generate(std::vector<std::int32_t>{1, 2, 3, 4}, tokens, {.temperature = 0}, [](std::int32_t) { return true; });
  };
  write(8);  // plans and the graph
  const int tokens = std::min(256, M::config.ctx - 8);
  std::vector<double> seconds;
  for (int i = 0; i < std::max(3, flags.steps / 5); ++i) seconds.push_back(seconds_of([&] { write(tokens); }));
  const double all = median(std::move(seconds));
  const double bytes = static_cast<double>(M::param_count) * sizeof(E);
  Result("decode", name)
      .add("batch", 1)
      .add("tokens", tokens)
      .add("seconds", all)
      .add("tokens_per_second", tokens / all)
      .add("weight_bytes_per_second", tokens * bytes / all)  // each token reads all weights once
      .add("peak_bytes", static_cast<double>(before - free_memory()))
      .print();
}

template <Architecture M>
int main(const char* name, int argc, char** argv) {
  try {
    const Flags flags = flags_of(argc, argv);
    if (const auto found = gpu::find_device(0); !found.why_not.empty()) throw Error("no GPU can be used: " + found.why_not);
    flags.what == "train" ? train<M>(name, flags) : decode<M>(name, flags);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tinygpt-bench-gpu-%s: %s\n", name, error.what());
    return 1;
  }
}

}  // namespace tinygpt::bench

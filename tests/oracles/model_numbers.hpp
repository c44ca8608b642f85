// What the comparisons with other projects' libraries ask of a model whose type is known: its numbers, in files.
#pragma once

#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/train/trainer.hpp>

namespace tinygpt::oracle {

/// One model that is compared.
struct Entry {
  std::string name;
  Config config;
  void (*logits)(const std::filesystem::path& model, std::span<const std::int32_t> tokens, std::ostream& out);
  void (*greedy)(const std::filesystem::path& model, std::span<const std::int32_t> prompt, int count);
  void (*train)(const std::filesystem::path& model, std::span<const std::int32_t> ids, int batch, int steps,
                const std::filesystem::path& gradients);
};

/// The same batch at every step: tokens, then targets.
struct OneBatch {
  std::span<const std::int32_t> ids;

  void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int, std::uint64_t, Purpose,
            std::uint64_t) const {
    std::copy_n(ids.begin(), tokens.size(), tokens.begin());
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(tokens.size()), targets.size(), targets.begin());
  }
};

template <Architecture M> struct Numbers {
  static std::vector<float> weights(const std::filesystem::path& model) {
    std::vector<float> arena(static_cast<std::size_t>(M::params.arena_size()));
    load_weights(ModelReader(model), M::config, arena);
    return arena;
  }

  /// float32 logits (T, V), the tokens read one after the other through the cache.
  static void logits(const std::filesystem::path& model, std::span<const std::int32_t> tokens, std::ostream& out) {
    const auto arena = weights(model);
    cpu::Context ctx(1);
    Generator<M, cpu::Context> generator(ctx, arena);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const auto row = generator.decode(tokens.subspan(t, 1), static_cast<int>(t));
      out.write(reinterpret_cast<const char*>(row.data()), static_cast<std::streamsize>(row.size_bytes()));
    }
  }

  static void greedy(const std::filesystem::path& model, std::span<const std::int32_t> prompt, int count) {
    const auto arena = weights(model);
    cpu::Context ctx(1);
    Generator<M, cpu::Context> generator(ctx, arena);
    generator.generate(prompt, count, {.temperature = 0}, [](std::int32_t id) { return std::printf("%d\n", id) > 0; });
  }

  /// Prints the loss before each of some steps of AdamW, and writes the gradient of the first, under transformers'
  /// names.
  static void train(const std::filesystem::path& model, std::span<const std::int32_t> ids, int batch, int steps,
                    const std::filesystem::path& gradients) {
    cpu::Context ctx(1);
    TrainOptions options;
    options.max_iters = steps;
    options.batch_size = batch;
    options.learning_rate = options.min_learning_rate = 1e-3;
    options.warmup_iters = 0;
    Trainer<M, cpu::Context> trainer(ctx, options);
    load_weights(ModelReader(model), M::config, trainer.weights());
    trainer.resume_at(0, 0, 0);
    for (int i = 0; i < steps; ++i) {
      std::printf("%.9g\n", trainer.step(OneBatch{ids}).loss);
      if (i > 0) continue;
      OutputFile file(gradients);
      const std::span<const float> arena = trainer.gradients();
      write_safetensors(file, in_arena(hf_tensors(M::config), arena));
      file.finish();
    }
  }

  static Entry entry(const char* name) { return {name, M::config, logits, greedy, train}; }
};

std::vector<Entry> gpt2_models();
std::vector<Entry> llama_models();
std::vector<Entry> qwen3_models();

}  // namespace tinygpt::oracle

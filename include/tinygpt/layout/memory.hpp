// The bytes that a model needs to train or to generate, as constexpr functions: answers for static_assert, for the
// command line, and for a program that asks before it allocates.
#pragma once

#include <cstdint>

#include <tinygpt/layout/activations.hpp>

namespace tinygpt {

constexpr std::int64_t operator""_KiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 10; }
constexpr std::int64_t operator""_MiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 20; }
constexpr std::int64_t operator""_GiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 30; }

/// What training holds, in bytes of float32 and int32. The first five follow from the architecture and the batch; the
/// last two are added by who knows them.
struct TrainMemory {
  std::int64_t weights = 0;
  std::int64_t gradients = 0;
  std::int64_t moments = 0;      ///< AdamW's two
  std::int64_t activations = 0;  ///< linear in batch x time: nothing in it is T x T
  std::int64_t batch = 0;        ///< tokens and targets
  std::int64_t workspace = 0;    ///< of the backend's threads and operations: cpu::train_workspace
  std::int64_t corpus = 0;       ///< of a program that keeps its text in memory

  constexpr std::int64_t total() const {
    return weights + gradients + moments + activations + batch + workspace + corpus;
  }
};

/// What generating from one prompt holds, in bytes.
struct GenerateMemory {
  std::int64_t weights = 0;
  std::int64_t cache = 0;        ///< keys and values of a full context
  std::int64_t activations = 0;  ///< of a full context
  std::int64_t sampling = 0;     ///< an id and a weight for each token of the vocabulary
  std::int64_t workspace = 0;    ///< of the backend's threads and operations: cpu::generate_workspace

  constexpr std::int64_t total() const { return weights + cache + activations + sampling + workspace; }
};

/// To train on batches of B x T tokens. Accumulating over several batches takes no more.
constexpr TrainMemory train_memory(const Config& c, Batch<> batch, Time<> time) {
  constexpr auto number = static_cast<std::int64_t>(sizeof(float)), id = static_cast<std::int64_t>(sizeof(int));
  const std::int64_t parameters = number * ParamTable(c).arena_size();
  return {.weights = parameters,
          .gradients = parameters,
          .moments = 2 * parameters,
          .activations = number * ActivationPlan(c, batch.size, time.size).size(),
          .batch = 2 * id * batch.size * time.size};
}

/// Bytes of the keys and values of one sequence of full context length, in float32.
constexpr std::int64_t kv_cache_bytes(const Config& c) {
  return 2LL * c.layers * c.ctx * c.kv_width() * static_cast<std::int64_t>(sizeof(float));
}

constexpr GenerateMemory generate_memory(const Config& c) {
  constexpr auto number = static_cast<std::int64_t>(sizeof(float));
  return {.weights = number * ParamTable(c).arena_size(),
          .cache = kv_cache_bytes(c),
          .activations = number * ActivationPlan(c, 1, c.ctx, ActivationPlan::For::inference).size(),
          .sampling = c.vocab * static_cast<std::int64_t>(sizeof(std::int32_t) + sizeof(double))};
}

/// Bytes to train on batches of B x T tokens, and to generate; without the backend's workspace, some MiB.
constexpr std::int64_t train_bytes(const Config& c, Batch<> batch, Time<> time) {
  return train_memory(c, batch, time).total();
}
constexpr std::int64_t generate_bytes(const Config& c) { return generate_memory(c).total(); }

template <Architecture M> constexpr std::int64_t train_bytes(Batch<> batch, Time<> time = Time<>{M::config.ctx}) {
  return train_bytes(M::config, batch, time);
}
template <Architecture M> constexpr std::int64_t generate_bytes() { return generate_bytes(M::config); }

/// Does the model train within a budget of bytes? static_assert(fits<Model, 8_GiB>(Batch{8}));
template <Architecture M, std::int64_t Budget> constexpr bool fits(Batch<> batch, Time<> time = Time<>{M::config.ctx}) {
  return train_bytes<M>(batch, time) <= Budget;
}

/// The largest batch that trains within `bytes`; 0 where not even one sequence does.
constexpr int largest_batch(const Config& c, Time<> time, std::int64_t bytes) {
  int fitting = 0, beyond = 1 << 20;
  while (beyond - fitting > 1) {
    const int middle = fitting + (beyond - fitting) / 2;
    (train_bytes(c, Batch{middle}, time) <= bytes ? fitting : beyond) = middle;
  }
  return fitting;
}

}  // namespace tinygpt

// The bytes that a model needs to train or to generate, as constexpr functions: answers for static_assert, for the
// command line, and for a program that asks before it allocates.
#pragma once

#include <cstdint>

#include <tinygpt/layout/activations.hpp>

namespace tinygpt {

constexpr std::int64_t operator""_KiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 10; }
constexpr std::int64_t operator""_MiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 20; }
constexpr std::int64_t operator""_GiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 30; }

/// What training holds, in bytes. All but the last two follow from the architecture, the batch, the precision and what is
/// recomputed, and lie one after the other in one allocation; the last two are added by who knows them.
struct TrainMemory {
  std::int64_t weights = 0;
  std::int64_t masters = 0;  ///< float copies of bf16 weights, to which the updates are added; none in float32
  std::int64_t gradients = 0;
  std::int64_t moments = 0;      ///< AdamW's two
  std::int64_t activations = 0;  ///< linear in batch x time: nothing in it is T x T
  std::int64_t batch = 0;        ///< tokens and targets
  std::int64_t workspace = 0;    ///< of the backend's threads and operations: cpu::train_workspace
  std::int64_t corpus = 0;       ///< of a program that keeps its text in memory

  constexpr std::int64_t total() const {
    return size_sum(weights, masters, gradients, moments, activations, batch, workspace, corpus);
  }
};

/// What generating holds, in bytes.
struct GenerateMemory {
  std::int64_t weights = 0;
  std::int64_t cache = 0;  ///< keys and values of a full context, for each of the sequences that are generated at once
  std::int64_t activations = 0;  ///< of a full context
  std::int64_t sampling = 0;     ///< logits, and a weight and an id for each token of the vocabulary
  std::int64_t workspace = 0;    ///< of the backend's threads and operations: cpu::generate_workspace

  constexpr std::int64_t total() const { return size_sum(weights, cache, activations, sampling, workspace); }
};

/// To train on batches of B x T tokens. Accumulating over several batches takes no more.
constexpr TrainMemory train_memory(const Config& c, Batch<> batch, Time<> time, Storage storage = {},
                                   Recompute recompute = Recompute::none) {
  const std::int64_t parameters = ParamTable(c).arena_size();
  const std::int64_t sums = aligned(size_product(storage.accumulator, parameters));
  const auto purpose = ActivationPlan::For::training;
  return {.weights = aligned(size_product(storage.element, parameters)),
          .masters = storage.element == storage.accumulator ? 0 : sums,
          .gradients = sums,
          .moments = size_product(2, sums),
          .activations = ActivationPlan(c, batch.size, time.size, purpose, recompute, storage).bytes(),
          .batch = size_product(2, aligned(size_product(sizeof(std::int32_t), batch.size, time.size)))};
}
constexpr TrainMemory train_memory(const Config& c, Batch<> batch, Time<> time, Precision precision,
                                   Recompute recompute = Recompute::none) {
  return train_memory(c, batch, time, storage_of(precision), recompute);
}

/// Bytes of the keys and values of one sequence of full context length.
constexpr std::int64_t kv_cache_bytes(const Config& c, Precision precision = float32) {
  return size_product(2, c.layers, c.ctx, c.kv_width(), storage_of(precision).element);
}

constexpr GenerateMemory generate_memory(const Config& c, Precision precision = float32, Batch<> batch = Batch{1}) {
  const Storage storage = storage_of(precision);
  return {.weights = size_product(storage.element, ParamTable(c).arena_size()),
          .cache = size_product(batch.size, kv_cache_bytes(c, precision)),
          .activations = generation_plan(c, batch.size, storage).bytes(),
          .sampling = size_product(c.vocab, size_sum(size_product(batch.size, storage.element),
                                                     sizeof(float) + sizeof(std::size_t)))};
}

/// Bytes to evaluate B whole contexts at once: weights, what one layer leaves, and the tokens.
constexpr std::int64_t evaluate_bytes(const Config& c, Precision precision = float32, Batch<> batch = Batch{1}) {
  const Storage storage = storage_of(precision);
  const std::int64_t ids = aligned(std::int64_t{batch.size} * c.ctx * static_cast<std::int64_t>(sizeof(std::int32_t)));
  return storage.element * ParamTable(c).arena_size() + 2 * ids +
         ActivationPlan(c, batch.size, c.ctx, ActivationPlan::For::evaluation, Recompute::none, storage).bytes();
}

/// Bytes to train on batches of B x T tokens, and to generate B sequences at once; without the backend's workspace,
/// some MiB.
constexpr std::int64_t train_bytes(const Config& c, Batch<> batch, Time<> time, Precision precision = float32,
                                   Recompute recompute = Recompute::none) {
  return train_memory(c, batch, time, precision, recompute).total();
}
constexpr std::int64_t generate_bytes(const Config& c, Precision precision = float32, Batch<> batch = Batch{1}) {
  return generate_memory(c, precision, batch).total();
}

template <Architecture M>
constexpr std::int64_t train_bytes(Batch<> batch, Time<> time = Time<>{M::config.ctx}, Precision precision = float32,
                                   Recompute recompute = Recompute::none) {
  return train_bytes(M::config, batch, time, precision, recompute);
}
template <Architecture M>
constexpr std::int64_t train_bytes(Batch<> batch, Precision precision, Recompute recompute = Recompute::none) {
  return train_bytes(M::config, batch, Time{M::config.ctx}, precision, recompute);
}
template <Architecture M>
constexpr std::int64_t generate_bytes(Precision precision = float32, Batch<> batch = Batch{1}) {
  return generate_bytes(M::config, precision, batch);
}

/// Does the model train within a budget of bytes? Said as to train_bytes:
/// static_assert(fits<Model, 8_GiB>(Batch{8}, bf16, Recompute::blocks));
template <Architecture M, std::int64_t Budget, class... Circumstances>
constexpr bool fits(Batch<> batch, Circumstances... circumstances) {
  return train_bytes<M>(batch, circumstances...) <= Budget;
}

/// The largest batch that trains within `bytes`; 0 where not even one sequence does.
constexpr int largest_batch(const Config& c, Time<> time, std::int64_t bytes, Precision precision = float32,
                            Recompute recompute = Recompute::none) {
  int fitting = 0, beyond = 1 << 20;
  while (beyond - fitting > 1) {
    const int middle = fitting + (beyond - fitting) / 2;
    (train_bytes(c, Batch{middle}, time, precision, recompute) <= bytes ? fitting : beyond) = middle;
  }
  return fitting;
}

/// How many texts are written at once within `bytes`: `wanted`, or it halved until they fit; 1 where none does.
constexpr int texts_at_once(const Config& c, int wanted, std::int64_t bytes, Precision precision = float32) {
  while (wanted > 1 && generate_bytes(c, precision, Batch{wanted}) > bytes) wanted /= 2;
  return wanted;
}

}  // namespace tinygpt

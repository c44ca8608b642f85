// How much memory there is, how much training takes, and what to say when the second is more than the first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include <tinygpt/cli/exit.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/io/available_memory.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/layout/memory.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt::cli {

namespace memory = tinygpt::memory;

/// Bytes that a corpus of `bytes` bytes takes: the text, and a token id of four bytes for each of its bytes.
constexpr std::int64_t corpus_memory(std::int64_t bytes) {
  return bytes * static_cast<std::int64_t>(1 + sizeof(std::int32_t));
}

/// "138.0 MiB: weights 7.0 MiB, ...".
inline std::string memory_sentence(const TrainMemory& m) {
  std::string text = memory_text(m.total()) + ": weights " + memory_text(m.weights) +
                     (m.masters > 0 ? ", master weights " + memory_text(m.masters) : "") + ", gradients " +
                     memory_text(m.gradients) + ", AdamW's moments " + memory_text(m.moments) + ", activations " +
                     memory_text(m.activations) + ", batch and workspace " + memory_text(m.batch + m.workspace);
  return m.corpus == 0 ? text : text + ", text " + memory_text(m.corpus);
}

/// Refuses what would make the machine swap or kill the program, and says what would fit. `memory` is what training
/// takes with `options` in `precision`.
inline void check_memory(const Config& config, const TrainMemory& memory, const TrainOptions& options,
                         std::int64_t available, Precision precision = float32) {
  if (available < 0 || memory.total() <= available) return;
  const std::int64_t fixed = memory.workspace + memory.corpus;
  const auto largest = [&](Recompute recompute) {
    return largest_batch(config, Time{config.ctx}, available - fixed, precision, recompute);
  };
  const auto batch = [](int size) { return "--batch-size " + std::to_string(size); };
  const std::string fault = "training takes " + memory_text(memory.total()) + " of memory with " +
                            batch(options.batch_size) + ", but " + memory_text(available) + " are available: ";
  const std::string smaller = ", and --grad-accum-steps makes up for a smaller one";
  const int as_it_is = largest(options.recompute), most = largest(Recompute::blocks);
  if (most == 0) {
    const TrainMemory one = train_memory(config, Batch{1}, Time{config.ctx}, precision, Recompute::blocks);
    throw OutOfMemory(fault + "not even " + batch(1) + " fits with --recompute blocks, which takes " +
                      memory_text(one.total() + fixed) + ": train a smaller model, or close other programs");
  }
  if (as_it_is == 0)
    throw OutOfMemory(fault + batch(most) + " with --recompute blocks is the largest that fits" + smaller);
  const std::string fits = batch(as_it_is) + " is the largest that fits";
  if (most == as_it_is) throw OutOfMemory(fault + fits + smaller);
  const auto enough =
      largest(Recompute::activations) >= options.batch_size ? Recompute::activations : Recompute::blocks;
  const std::string with = " with --recompute " + config_text::word_of(config_text::recomputes, enough);
  throw OutOfMemory(fault + fits + ", or " + (most >= options.batch_size ? "this one" : std::to_string(most)) + with +
                    smaller);
}

}  // namespace tinygpt::cli

// How much memory there is, and how large a batch it takes, on either backend.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/cli/backend.hpp>
#include <tinygpt/cli/memory.hpp>
#include <tinygpt/cli/nvml.hpp>
#include <tinygpt/cpu/memory.hpp>
#include <tinygpt/graphics_cards.hpp>
#include <tinygpt/io/nearest_word.hpp>
#include <tinygpt/layout/memory.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli::tool {

struct Memory {
  std::int64_t bytes = 0;
  std::string source;                  ///< where the number comes from
  const GraphicsCard* card = nullptr;  ///< where it is a graphics card's, and that is known
};

/// All memory of the graphics card that has most of it, whatever else uses some now; nothing where none is known.
inline std::optional<Memory> gpu_memory() {
  const Nvml nvml;
  const std::vector<Card> cards = nvml.cards();
  const Card* largest = nullptr;
  for (const Card& card : cards) {
    if (card.memory && (!largest || card.memory->total > largest->memory->total)) largest = &card;
  }
  if (!largest) return std::nullopt;
  const std::string others = cards.size() > 1 ? ", the largest of " + std::to_string(cards.size()) + " cards" : "";
  return Memory{largest->memory->total, largest->name + others, find_card(card_name(largest->name))};
}

/// "an RTX 3060", "a T4": by how the first letter is called.
inline std::string with_article(std::string_view name) {
  return (name.find_first_of("AHLR") == 0 ? "an " : "a ") + std::string(name);
}

/// The card that a person names, as "RTX 4070 Ti" or "3060 8GB", whether this machine has it or not.
inline Memory named_card(const std::string& text) {
  const CardName name = card_name(text);
  const GraphicsCard* const card = find_card(name);
  if (card == nullptr) {
    const auto joined = [](const CardName& n) {
      std::string words;
      for (const auto& word : n.words) words += (words.empty() ? "" : " ") + word;
      return words;
    };
    std::vector<std::string> choices, near;
    for (const GraphicsCard& each : graphics_cards) choices.push_back(joined(card_name(each.name)));
    for (const auto& word : nearest_words(joined(name), choices, 3)) {
      near.emplace_back(graphics_cards[std::find(choices.begin(), choices.end(), word) - choices.begin()].name);
    }
    std::string either;
    for (std::size_t i = 0; i < near.size(); ++i)
      either += (i == 0 ? "" : i + 1 < near.size() ? ", " : " or ") + near[i];
    throw UsageError("there is no known graphics card '" + printable(text) + "': " +
                     (near.empty() ? "write it as \"RTX 4070 Ti\", or give --backend gpu and --memory 12GiB"
                                   : "did you mean " + either + "?"));
  }
  std::string sizes;
  int gib = name.gib == 0 ? card->gib[0] : 0;
  for (const int size : card->gib) {
    if (size == 0) continue;
    if (size == name.gib) gib = size;
    sizes += (sizes.empty() ? "" : " or ") + std::to_string(size);
  }
  if (gib == 0) {
    throw UsageError(with_article(card->name) + " has " + sizes + " GiB, not " + std::to_string(name.gib) +
                     ": write its name alone, or give --memory");
  }
  const bool others = name.gib == 0 && card->gib[1] != 0;
  return {
      std::int64_t{gib} << 30,
      std::string(card->name) + (others ? ", which is sold with " + sizes + " GiB: write \"" + std::string(card->name) +
                                              " " + std::to_string(card->gib[1]) + "GB\" for the other"
                                        : ""),
      card};
}

/// What the control group allows, where it allows less than the machine has.
inline std::optional<Memory> machine_memory() {
  std::optional<Memory> memory;
  const std::int64_t kib = cli::memory::number_in("/proc/meminfo", "MemTotal:");
  if (kib > 0) memory = {1024 * kib, "this machine's RAM"};
  for (const char* const path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const std::int64_t limit = cli::memory::number_in(path, "");
    if (limit > 0 && (!memory || limit < memory->bytes)) memory = {limit, "this control group's limit"};
  }
  return memory;
}

/// What trains, and in which numbers.
struct TrainsOn {
  BackendKind backend = BackendKind::cpu;
  Precision precision = float32;
};

/// Bytes to train on a batch: what train of the program allocates, its text left out. On a GPU CUDA's own part and the
/// scratch of its kernels, some hundred MiB, are left out too: only the program on the card knows them.
inline std::int64_t planned_train_bytes(const Config& c, std::int64_t batch, TrainsOn on,
                                        Recompute recompute = Recompute::none) {
  return size_sum(train_bytes(c, Batch{static_cast<int>(batch)}, Time{c.ctx}, on.precision, recompute),
                  on.backend == BackendKind::cpu ? cpu::train_workspace(c, c.ctx, hardware_threads()) : 0);
}

/// The largest batch that trains in `memory`, at most `most`, so that no context makes it overflow; 0 where not even
/// one sequence does.
inline std::int64_t largest_batch(const Config& c, std::int64_t memory, TrainsOn on,
                                  Recompute recompute = Recompute::none, std::int64_t most = 4096) {
  std::int64_t fits = 0, too_large = most + 1;
  while (too_large - fits > 1) {
    const std::int64_t middle = fits + (too_large - fits) / 2;
    (planned_train_bytes(c, middle, on, recompute) <= memory ? fits : too_large) = middle;
  }
  return fits;
}

}  // namespace tinygpt::cli::tool

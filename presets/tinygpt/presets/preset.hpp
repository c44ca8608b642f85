// What is known of a preset besides its type: its name, where it comes from, and how it is trained unless told
// otherwise.
#pragma once

#include <span>
#include <string_view>

#include <tinygpt/config/kinds.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt {

struct Preset {
  std::string_view name;    ///< of the program behind "tinygpt-", and on every command line
  std::string_view type;    ///< in C++: "tinygpt::presets::tiny_char"
  std::string_view family;  ///< and the header: <tinygpt/presets/FAMILY.hpp>
  std::string_view label;   ///< its size in the documents, "~3M"; often wrong, and empty where they give none
  Config config;
  TrainOptions defaults;
  std::string_view source;
};

namespace presets {

/// How a preset is trained: its row of a family's table. The rate falls to a tenth of itself.
constexpr TrainOptions defaults(int batch, int accumulation, double learning_rate, double dropout, std::int64_t warmup,
                                std::int64_t steps) {
  return {.max_iters = steps,
          .batch_size = batch,
          .grad_accum_steps = accumulation,
          .learning_rate = learning_rate,
          .min_learning_rate = learning_rate / 10,
          .warmup_iters = warmup,
          .dropout = dropout};
}

/// The preset of that name, or null.
constexpr const Preset* find(std::span<const Preset> among, std::string_view name) {
  for (const Preset& preset : among) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

}  // namespace presets
}  // namespace tinygpt

// Every preset of this project, family after family.
#pragma once

#include <array>

#include <tinygpt/presets/classic.hpp>
#include <tinygpt/presets/consumer.hpp>
#include <tinygpt/presets/factory.hpp>
#include <tinygpt/presets/gpt2.hpp>
#include <tinygpt/presets/modern.hpp>
#include <tinygpt/presets/preset.hpp>

namespace tinygpt::presets {

namespace detail {
constexpr auto all_families() {
  std::array<Preset, std::size(classic_presets) + std::size(gpt2_presets) + std::size(factory_presets) +
                         std::size(modern_presets) + std::size(consumer_presets)>
      all{};
  std::size_t count = 0;
  const auto add = [&](std::span<const Preset> family) {
    for (const Preset& preset : family) all[count++] = preset;
  };
  add(classic_presets);
  add(gpt2_presets);
  add(factory_presets);
  add(modern_presets);
  add(consumer_presets);
  return all;
}
}  // namespace detail

inline constexpr auto registry = detail::all_families();

/// The preset of that name, or null.
constexpr const Preset* find(std::string_view name) { return find(registry, name); }

}  // namespace tinygpt::presets

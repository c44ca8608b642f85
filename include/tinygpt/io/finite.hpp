// Numbers that are not finite, found and named: a model that has one computes nothing else.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <tinygpt/error.hpp>
#include <tinygpt/io/tensor_map.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt {

/// Is none of them infinite or NaN?
inline bool all_finite(std::span<const float> numbers) {
  constexpr std::uint32_t exponent = 0x7F800000;
  std::uint32_t found = 0;  // one test for all, which a compiler turns into vectors
  for (const float x : numbers) found |= (std::bit_cast<std::uint32_t>(x) & exponent) == exponent;
  return found == 0;
}

/// The name of the first tensor of an arena that has a number which is not finite; empty where none has. `memory`:
/// where the arena lies; null for the host's.
inline std::string first_not_finite(const Config& config, std::span<const float> arena,
                                    const ForeignMemory* memory = nullptr) {
  constexpr std::int64_t piece = 1 << 20;
  std::vector<float> fetched;
  for (const ParamRow& row : ParamTable(config)) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); i += piece) {
        auto numbers = arena.subspan(static_cast<std::size_t>(row.offset + l * row.stride + i),
                                     static_cast<std::size_t>(std::min(piece, row.layer_size() - i)));
        if (memory != nullptr) {
          fetched.resize(numbers.size());
          memory->read(fetched, numbers.data());
          numbers = fetched;
        }
        if (!all_finite(numbers)) return row.name;
      }
    }
  }
  return "";
}

/// Throws DamagedFile where weights that came from `directory` are not finite: an older checkpoint may be.
inline void expect_finite(const std::filesystem::path& directory, const Config& config, std::span<const float> weights,
                          const ForeignMemory* memory = nullptr) {
  const std::string tensor = first_not_finite(config, weights, memory);
  if (tensor.empty()) return;
  throw DamagedFile(directory.string() + " cannot be used: tensor '" + tensor +
                    "' has a number that is not finite (NaN or infinite), as after training with too high a learning " +
                    "rate: use another checkpoint");
}

}  // namespace tinygpt

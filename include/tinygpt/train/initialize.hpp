// The weights with which training begins.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <tinygpt/model/gpt.hpp>
#include <tinygpt/ops/random.hpp>

namespace tinygpt {

/// The first weights of M as its table says: normal(0, 0.02), the same / sqrt(2L) for the matrices that end a residual
/// branch, ones and zeros; in pieces: put(first, values) gets the elements of the arena from `first` on. Every number is a
/// function of seed, tensor and place. Source: Radford et al. 2019, section 2.3.
template <Architecture M, class E, class Put> void initialize(std::uint64_t seed, Put&& put) {
  constexpr std::int64_t piece = 1 << 16;  // even: numbers come in pairs
  std::vector<E> values;
  for (const ParamRow& row : M::params) {
    const double sigma = row.init == Init::residual_normal ? 0.02 / std::sqrt(2.0 * M::config.layers) : 0.02;
    for (std::int64_t l = 0; l < row.layers; ++l) {
      const auto place = static_cast<std::uint64_t>(row.id) << 32 | static_cast<std::uint64_t>(l);
      for (std::int64_t first = 0; first < row.layer_size(); first += piece) {
        const std::int64_t n = std::min(piece, row.layer_size() - first);
        values.assign(static_cast<std::size_t>(n + n % 2), E(row.init == Init::ones ? 1 : 0));
        if (row.init == Init::normal || row.init == Init::residual_normal) {
          for (std::int64_t i = 0; i < n; i += 2) {
            const auto pair = normal_pair(
                random_bits(seed, Purpose::initial_weights, static_cast<std::uint64_t>(first + i), place));
            values[static_cast<std::size_t>(i)] = static_cast<E>(pair[0] * sigma);
            values[static_cast<std::size_t>(i) + 1] = static_cast<E>(pair[1] * sigma);
          }
        }
        put(row.offset + l * row.stride + first, std::span<const E>(values.data(), static_cast<std::size_t>(n)));
      }
    }
  }
}

/// The same into an arena of M::params.arena_size() elements.
template <Architecture M, class E> void initialize(std::span<E> weights, std::uint64_t seed) {
  initialize<M, E>(seed, [&](std::int64_t first, std::span<const E> values) {
    std::copy(values.begin(), values.end(), weights.begin() + first);
  });
}

}  // namespace tinygpt

// The weights with which training begins.
#pragma once

#include <cmath>
#include <span>

#include <tinygpt/model/gpt.hpp>
#include <tinygpt/ops/random.hpp>

namespace tinygpt {

/// Fills an arena of M::params.arena_size() elements as the table says: normal(0, 0.02), the same / sqrt(2L) for the
/// matrices that end a residual branch, ones and zeros. Every number is a function of seed, tensor and place.
/// Source: Radford et al. 2019, section 2.3.
template <Architecture M, class E> void initialize(std::span<E> weights, std::uint64_t seed) {
  for (const ParamRow& row : M::params) {
    const double sigma = row.init == Init::residual_normal ? 0.02 / std::sqrt(2.0 * M::config.layers) : 0.02;
    for (std::int64_t l = 0; l < row.layers; ++l) {
      E* w = weights.data() + row.offset + l * row.stride;
      const auto place = static_cast<std::uint64_t>(row.id) << 32 | static_cast<std::uint64_t>(l);
      for (std::int64_t i = 0; i < row.layer_size(); i += 2) {
        std::array<double, 2> pair{};
        if (row.init == Init::normal || row.init == Init::residual_normal) {
          pair = normal_pair(random_bits(seed, Purpose::initial_weights, static_cast<std::uint64_t>(i), place));
          for (double& x : pair) x *= sigma;
        } else if (row.init == Init::ones) {
          pair = {1, 1};
        }
        w[i] = static_cast<E>(pair[0]);
        if (i + 1 < row.layer_size()) w[i + 1] = static_cast<E>(pair[1]);
      }
    }
  }
}

}  // namespace tinygpt

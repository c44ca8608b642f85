// The weights with which training begins.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <tinygpt/in_parallel.hpp>
#include <tinygpt/model/gpt.hpp>
#include <tinygpt/ops/random.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt {

namespace detail {

/// First weights that lie together, up to so many.
inline constexpr std::int64_t initial_piece = 1 << 14;  // even: numbers come in pairs

template <class E> struct InitialWeights {
  const ParamRow* row = nullptr;
  std::int64_t layer = 0, first = 0;
  std::vector<E> values;

  std::int64_t offset() const { return row->offset + layer * row->stride + first; }

  void draw(std::uint64_t seed, int layers) {
    const bool random = row->init == Init::normal || row->init == Init::residual_normal;
    const double sigma = row->init == Init::residual_normal ? 0.02 / std::sqrt(2.0 * layers) : 0.02;
    const auto tensor = static_cast<std::uint64_t>(row->id) << 32 | static_cast<std::uint64_t>(layer);
    values.assign(static_cast<std::size_t>(std::min(initial_piece, row->layer_size() - first)),
                  E(row->init == Init::ones ? 1 : 0));
    for (std::size_t i = 0; random && i < values.size(); i += 2) {
      const auto pair =
          normal_pair(random_bits(seed, Purpose::initial_weights, static_cast<std::uint64_t>(first) + i, tensor));
      values[i] = static_cast<E>(pair[0] * sigma);
      if (i + 1 < values.size()) values[i + 1] = static_cast<E>(pair[1] * sigma);
    }
  }
};

}  // namespace detail

/// The first weights of M as its table says: normal(0, 0.02), the same / sqrt(2L) for the matrices that end a residual
/// branch, ones and zeros; in pieces, one after another: put(first, values) gets the elements of the arena from `first`
/// on. Every number is a function of seed, tensor and place, so that all the machine's threads draw them. Source:
/// Radford et al. 2019, section 2.3.
template <Architecture M, class E, class Put> void initialize(std::uint64_t seed, Put&& put) {
  const std::size_t threads = static_cast<std::size_t>(std::min(hardware_threads(), 16));
  std::vector<detail::InitialWeights<E>> pieces(8 * threads);
  std::vector<std::size_t> drawn;
  const auto draw_and_put = [&] {
    in_parallel(drawn, threads, AfterFault::stop, [&](std::size_t i) { pieces[i].draw(seed, M::config.layers); });
    for (const std::size_t i : drawn) put(pieces[i].offset(), std::span<const E>(pieces[i].values));
    drawn.clear();
  };
  for (const ParamRow& row : M::params) {
    for (std::int64_t layer = 0; layer < row.layers; ++layer) {
      for (std::int64_t first = 0; first < row.layer_size(); first += detail::initial_piece) {
        auto& next = pieces[drawn.size()];
        next.row = &row, next.layer = layer, next.first = first;
        drawn.push_back(drawn.size());
        if (drawn.size() == pieces.size()) draw_and_put();
      }
    }
  }
  draw_and_put();
}

/// The same into an arena of M::params.arena_size() elements.
template <Architecture M, class E> void initialize(std::span<E> weights, std::uint64_t seed) {
  initialize<M, E>(seed, [&](std::int64_t first, std::span<const E> values) {
    std::copy(values.begin(), values.end(), weights.begin() + first);
  });
}

}  // namespace tinygpt

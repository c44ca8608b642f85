// Chooses the next token from logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <type_traits>
#include <vector>

#include <tinygpt/ops/random.hpp>

namespace tinygpt {

struct SampleOptions {
  double temperature = 0.8;  ///< logits are divided by it; 0 takes the likeliest token always (greedy)
  int top_k = 0;             ///< keep only this many likeliest tokens; 0 keeps all
  double top_p = 1.0;        ///< keep the fewest likeliest tokens whose probabilities reach this sum; 1 keeps all
  std::uint64_t seed = 1337;
  int vocab = 0;             ///< ids from this one on are never taken: a corpus may use fewer than the model has; 0: all
};

/// Temperature, then top-k, then top-p, then one draw. Equal logits rank by token id.
/// Sources: Fan, Lewis, Dauphin 2018 (arXiv:1805.04833); Holtzman et al. 2020 (arXiv:1904.09751).
class Sampler {
 public:
  Sampler(const SampleOptions& options, int vocab)
      : options_(options),
        ids_(static_cast<std::size_t>(options.vocab > 0 ? std::min(options.vocab, vocab) : vocab)),
        weights_(ids_.size()) {}

  /// The token of draw number `draw`.
  template <class E> std::int32_t operator()(std::span<const E> logits, std::uint64_t draw) {
    // A bfloat16 is for keeping, and becomes a float to be compared.
    using Number = std::conditional_t<std::is_floating_point_v<E>, E, float>;
    const auto logit = [&](std::int32_t id) { return static_cast<Number>(logits[static_cast<std::size_t>(id)]); };
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
      const Number x = logit(a), y = logit(b);
      return x != y ? x > y : a < b;
    };
    std::iota(ids_.begin(), ids_.end(), 0);
    if (options_.temperature == 0) return *std::min_element(ids_.begin(), ids_.end(), likelier);

    std::size_t kept = ids_.size();
    if (options_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options_.top_k));
    const auto end = [&] { return ids_.begin() + static_cast<std::ptrdiff_t>(kept); };
    if (kept < ids_.size() || options_.top_p < 1) std::partial_sort(ids_.begin(), end(), ids_.end(), likelier);

    const auto top = static_cast<double>(logit(*std::min_element(ids_.begin(), end(), likelier)));
    double sum = 0;
    for (std::size_t i = 0; i < kept; ++i) {
      sum += weights_[i] = std::exp((static_cast<double>(logit(ids_[i])) - top) / options_.temperature);
    }
    if (options_.top_p < 1) {
      double reached = 0;
      for (std::size_t i = 0; i < kept; ++i) {
        reached += weights_[i];
        if (reached >= options_.top_p * sum) kept = i + 1, sum = reached;
      }
    }
    double left = uniform(random_bits(options_.seed, Purpose::sampling, draw, 0)[0]) * sum;
    for (std::size_t i = 0; i + 1 < kept; ++i) {
      left -= weights_[i];
      if (left < 0) return ids_[i];
    }
    return ids_[kept - 1];
  }

 private:
  SampleOptions options_;
  std::vector<std::int32_t> ids_;
  std::vector<double> weights_;
};

}  // namespace tinygpt

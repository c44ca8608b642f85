// Chooses the next token from logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include <tinygpt/error.hpp>
#include <tinygpt/ops/random.hpp>

namespace tinygpt {

struct SampleOptions {
  double temperature = 0.8;  ///< logits are divided by it; 0 takes the likeliest token always (greedy)
  int top_k = 0;             ///< keep only this many likeliest tokens; 0 keeps all
  double top_p = 1.0;        ///< keep the fewest likeliest tokens whose probabilities reach this sum; 1 keeps all
  std::uint64_t seed = 1337;
  int vocab = 0;  ///< ids from this one on are never taken: a corpus may use fewer than the model has; 0: all
};

/// Where the largest number is, the first of equal ones. NaN is never the largest; 0 where there is nothing else.
template <class E> std::size_t likeliest(std::span<const E> logits) {
  constexpr std::size_t lanes = 16, block = 16 * lanes;  // the inner loops are a compiler's to turn into vectors
  float top = -std::numeric_limits<float>::infinity();
  std::size_t first = 0;
  for (std::size_t begin = 0; begin < logits.size(); begin += block) {
    const std::span<const E> part = logits.subspan(begin, std::min(block, logits.size() - begin));
    float largest[lanes];
    std::fill(largest, largest + lanes, top);
    std::size_t i = 0;
    for (; i + lanes <= part.size(); i += lanes) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const auto x = static_cast<float>(part[i + lane]);
        largest[lane] = x > largest[lane] ? x : largest[lane];
      }
    }
    for (; i < part.size(); ++i) largest[0] = std::max(largest[0], static_cast<float>(part[i]));
    const float highest = *std::max_element(largest, largest + lanes);
    if (highest > top) top = highest, first = begin;
  }
  for (std::size_t id = first; id < logits.size(); ++id) {
    if (static_cast<float>(logits[id]) == top) return id;
  }
  return 0;
}

/// Throws Error where a logit is NaN or infinite upwards, or all are infinite downwards: no token is likelier than
/// others.
template <class E> void expect_logits(std::span<const E> logits) {
  bool usable = true, any = false;
  for (const E x : logits) {
    const auto logit = static_cast<float>(x);
    usable &= logit <= std::numeric_limits<float>::max();
    any |= logit >= std::numeric_limits<float>::lowest();
  }
  if (usable && any) return;
  throw Error(
      "the model's logits are not finite (NaN or infinite), so that no token can be chosen: its weights are damaged or "
      "too large, so use another checkpoint");
}

/// Temperature, then top-k, then top-p, then one draw. Equal logits rank by token id.
/// Sources: Fan, Lewis, Dauphin 2018 (arXiv:1805.04833); Holtzman et al. 2020 (arXiv:1904.09751).
class Sampler {
 public:
  Sampler(const SampleOptions& options, int vocab)
      : options_(options),
        size_(static_cast<std::size_t>(options.vocab > 0 ? std::min(options.vocab, vocab) : vocab)),
        weights_(size_) {}

  /// The token of draw number `draw` of a sequence, which draws with the seed + `sequence`. A temperature so small that
  /// its inverse is no float is 0. Throws Error where the logits are not finite.
  template <class E>
  std::int32_t operator()(std::span<const E> logits, std::uint64_t draw, std::uint64_t sequence = 0) {
    const auto logit = [&](std::size_t id) { return static_cast<float>(logits[id]); };
    expect_logits(logits.first(size_));
    const std::size_t top = likeliest(logits.first(size_));
    if (!(1 / options_.temperature <= std::numeric_limits<float>::max())) return static_cast<std::int32_t>(top);

    std::size_t kept = size_, in_order = 0;
    if (options_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options_.top_k));
    const bool ranked = kept < size_ || options_.top_p < 1;
    if (ranked) {
      ids_.resize(size_);
      std::iota(ids_.begin(), ids_.end(), std::size_t{0});
    }
    const auto id_of = [&](std::size_t i) { return ranked ? ids_[i] : i; };
    // Puts the likeliest `count` first, in their order; mostly they are few, and of the rest no order is asked.
    const auto rank = [&](std::size_t count) {
      const auto begin = ids_.begin();
      std::partial_sort(
          begin + static_cast<std::ptrdiff_t>(in_order), begin + static_cast<std::ptrdiff_t>(count), ids_.end(),
          [&](std::size_t a, std::size_t b) { return logit(a) != logit(b) ? logit(a) > logit(b) : a < b; });
      in_order = count;
    };
    if (kept < size_) rank(kept);

    const auto slope = static_cast<float>(1 / options_.temperature);
    for (std::size_t id = 0; id < size_; ++id) weights_[id] = std::exp((logit(id) - logit(top)) * slope);
    double sum = 0;
    for (std::size_t i = 0; i < kept; ++i) sum += weights_[id_of(i)];
    if (options_.top_p < 1) {
      // A sum that falls short by no more than the rounding of floats has been reached.
      const double enough = options_.top_p * sum * (1 - 1e-6);
      double reached = 0;
      for (std::size_t i = 0; i < kept; ++i) {
        if (i == in_order) rank(std::min(kept, std::max<std::size_t>(64, 8 * i)));
        reached += weights_[id_of(i)];
        if (reached >= enough) kept = i + 1, sum = reached;
      }
    }
    double left = uniform(random_bits(options_.seed + sequence, Purpose::sampling, draw, 0)[0]) * sum;
    for (std::size_t i = 0; i + 1 < kept; ++i) {
      left -= weights_[id_of(i)];
      if (left < 0) return static_cast<std::int32_t>(id_of(i));
    }
    return static_cast<std::int32_t>(id_of(kept - 1));
  }

 private:
  SampleOptions options_;
  std::size_t size_;            ///< ids that may be taken
  std::vector<float> weights_;  ///< e^((logit - largest) / temperature) of each id
  std::vector<std::size_t> ids_;
};

}  // namespace tinygpt

// A corpus as token ids, from which batches are drawn.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tinygpt/ops/random.hpp>

namespace tinygpt {

/// Tokens in memory. Batches are random windows; which ones is a function of seed, purpose and batch number, so there
/// is no position to save and nothing to restore.
class TokenStream {
 public:
  /// Must hold at least one more token than the windows that are drawn.
  explicit TokenStream(std::vector<std::int32_t> tokens) : tokens_(std::move(tokens)) {}

  std::span<const std::int32_t> tokens() const { return tokens_; }

  /// Fills tokens (B x time) with windows of the stream, and targets with the token that follows each.
  void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int time, std::uint64_t seed,
            Purpose purpose, std::uint64_t number) const {
    const auto T = static_cast<std::size_t>(time);
    const std::uint64_t starts = tokens_.size() - T;
    for (std::size_t b = 0; b * T < tokens.size(); ++b) {
      const auto from =
          tokens_.begin() + static_cast<std::ptrdiff_t>(random_bits(seed, purpose, number, b)[0] % starts);
      std::copy_n(from, T, tokens.begin() + static_cast<std::ptrdiff_t>(b * T));
      std::copy_n(from + 1, T, targets.begin() + static_cast<std::ptrdiff_t>(b * T));
    }
  }

 private:
  std::vector<std::int32_t> tokens_;
};

}  // namespace tinygpt

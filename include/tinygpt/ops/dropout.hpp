// Dropout's random numbers: a function of (seed, step, site, position) and of nothing else.
//
// Every backend draws the same mask bit for bit, whatever its thread count or order of work, because a mask element is
// computed from its position by a counter-based generator and never drawn from a stream.
#pragma once

#include <array>
#include <cstdint>

#include <tinygpt/ops/deferred.hpp>
#include <tinygpt/ops/random.hpp>

namespace tinygpt {

/// Which elements one use of dropout drops. `site` tells the uses within one training step apart (embedding, and per
/// layer: attention weights, attention branch, feed-forward branch).
///
/// Positions: for activations (B, T, C) the row is b * ctx + t and the width C; for attention weights (B, Hq, T, T) the
/// row is (b * Hq + h) * ctx + query and the width ctx: so a mask does not depend on the T of a batch.
///
/// A mask is a matrix of rows x width. Its elements are numbered in groups of 8 along the row, each row beginning a new
/// group; a group is one Philox block of eight 16-bit numbers; an element is dropped where its number < threshold.
struct Dropout {
  std::uint32_t threshold = 0;  ///< of 65536: probability to drop is threshold / 65536; 0 means no dropout
  std::uint32_t site = 0;       ///< < 2^20
  std::uint64_t seed = 0;
  Deferred<std::uint64_t> step{};
  std::int64_t ctx = 0;  ///< context length of the model

  TINYGPT_HD constexpr explicit operator bool() const { return threshold != 0; }

  /// What a kept element is multiplied by, so that the expectation does not change.
  TINYGPT_HD constexpr float scale() const { return 65536.0f / (65536.0f - static_cast<float>(threshold)); }

  /// The eight 16-bit numbers of a group: word k holds element 2k in its low half, element 2k + 1 in its high half.
  TINYGPT_HD constexpr std::array<std::uint32_t, 4> numbers(std::int64_t group) const {
    const auto g = static_cast<std::uint64_t>(group);
    const std::uint64_t now = step();
    return philox4x32({static_cast<std::uint32_t>(g), site * 4096u + static_cast<std::uint32_t>(g >> 32),
                       static_cast<std::uint32_t>(now), static_cast<std::uint32_t>(now >> 32)},
                      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  }

  /// Number of groups that a row of `width` elements takes.
  TINYGPT_HD static constexpr std::int64_t groups(std::int64_t width) { return (width + 7) / 8; }

  /// Is element (row, column) of a mask whose rows are `width` wide kept?
  TINYGPT_HD constexpr bool keeps(std::int64_t row, std::int64_t column, std::int64_t width) const {
    const std::uint32_t word = numbers(row * groups(width) + column / 8)[static_cast<std::size_t>(column % 8 / 2)];
    return ((column % 2 != 0 ? word >> 16 : word & 0xFFFFu)) >= threshold;
  }
};

}  // namespace tinygpt

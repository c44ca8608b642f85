// How much of each source goes into a dataset, and in which order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <tinygpt/error.hpp>

namespace tinygpt::prepare {

/// What one source has, what it should give, and what it will.
struct Share {
  std::int64_t available = 0;  ///< tokens
  double weight = 0;           ///< 0: not given
  std::int64_t wanted = 0;     ///< tokens by its weight
  std::int64_t target = 0;     ///< tokens that it can give of these
};

struct MixtureOptions {
  std::int64_t total_tokens = 0;  ///< 0: as many as there are
  bool repeat = false;            ///< a source may be given more than once
  double max_repeat = 4;          ///< so often at most. Source: Muennighoff et al. 2023 (arXiv:2305.16264)
};

/// Fills in `wanted` and `target`. Without weights each source gives in proportion to its size. With weights and
/// without a total, the total is the largest in which no source is given more often than it may; sources whose weight
/// is not given have weight 1.
inline void plan_mixture(std::vector<Share>& shares, const MixtureOptions& options) {
  const bool weighted = std::any_of(shares.begin(), shares.end(), [](const Share& s) { return s.weight > 0; });
  const double often = options.repeat ? options.max_repeat : 1;
  double sum = 0, all = 0;
  const auto weight = [&](const Share& s) {
    return !weighted ? static_cast<double>(s.available) : s.weight > 0 ? s.weight : 1;
  };
  for (const Share& share : shares) {
    sum += weight(share);
    all += static_cast<double>(share.available);
  }
  double total = options.total_tokens > 0 ? static_cast<double>(options.total_tokens) : all;
  if (options.total_tokens == 0 && weighted) {
    double largest = 0, bound = std::numeric_limits<double>::infinity();
    for (const Share& share : shares) {
      const double whole = static_cast<double>(share.available) * sum / weight(share);
      largest = std::max(largest, whole);
      bound = std::min(bound, whole * often);
    }
    total = std::min(largest, bound);
  }
  for (Share& share : shares) {
    share.wanted = sum > 0 ? std::llround(total * weight(share) / sum) : 0;
    share.target = std::min<std::int64_t>(share.wanted, std::llround(static_cast<double>(share.available) * often));
  }
}

/// Calls emit(i, room) -> tokens for one document of share i after the other, always of the one that is furthest
/// behind, until each has its target, from which it is `room` tokens away. A source goes on for `run` tokens before
/// another has its turn.
template <class Emit> void interleave(const std::vector<Share>& shares, Emit&& emit, std::int64_t run = 8192) {
  std::vector<std::int64_t> given(shares.size());
  for (;;) {
    std::size_t next = shares.size();
    double least = 1;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      if (given[i] >= shares[i].target) continue;
      const double part = static_cast<double>(given[i]) / static_cast<double>(shares[i].target);
      if (next == shares.size() || part < least) next = i, least = part;
    }
    if (next == shares.size()) return;
    for (const std::int64_t until = std::min(given[next] + run, shares[next].target); given[next] < until;) {
      const std::int64_t tokens = emit(next, shares[next].target - given[next]);
      if (tokens <= 0) throw Error("a source gave fewer tokens than were counted: prepare the dataset anew");
      given[next] += tokens;
    }
  }
}

}  // namespace tinygpt::prepare

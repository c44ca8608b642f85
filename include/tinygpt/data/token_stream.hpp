// A corpus as token ids, from which batches are drawn.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/data/permutation.hpp>
#include <tinygpt/data/token_shard.hpp>
#include <tinygpt/ops/random.hpp>

namespace tinygpt {

/// Which windows of the corpus follow one another.
enum class Sampling {
  epoch,  ///< the corpus cut into windows end to end, each once before any comes again, shuffled anew each time
  random  ///< windows that begin anywhere, drawn independently
};

/// Tokens in memory or in mapped shards, and the windows in which they are trained on.
///
/// All windows of a run are numbered, and which tokens window number w holds is a function of w, the seed and the
/// purpose. So the windows do not depend on how they are divided among batches, threads or ranks, and to go on where a
/// run stopped takes the count of the windows that it has seen. A window lies within one shard.
class TokenStream {
 public:
  explicit TokenStream(std::vector<std::int32_t> tokens, Sampling sampling = Sampling::epoch)
      : tokens_(std::move(tokens)), sampling_(sampling) {}

  /// Shards whose ids have been validated for `vocab`. Where the files change later, draw() throws.
  TokenStream(std::vector<TokenShard> shards, int vocab, Sampling sampling = Sampling::epoch)
      : shards_(std::move(shards)), vocab_(vocab), sampling_(sampling) {}

  Sampling sampling() const { return sampling_; }
  void sample(Sampling sampling) { sampling_ = sampling; }

  /// Tokens in all.
  std::int64_t size() const {
    std::int64_t sum = static_cast<std::int64_t>(tokens_.size());
    for (const auto& shard : shards_) sum += shard.size();
    return sum;
  }

  /// Windows of `time` tokens, and the one that follows, in which the corpus is cut for an epoch.
  std::int64_t windows(int time) const { return layout(time).windows; }

  /// Says that training batch `number` begins with window `window`, and goes on from there; a run begins at {1, 0}.
  void go_on_at(std::uint64_t number, std::uint64_t window) { first_number_ = number, first_window_ = window; }

  /// Tokens of each shard; of tokens in memory, one. A window lies within one.
  std::vector<std::int64_t> lengths() const {
    if (shards_.empty()) return {static_cast<std::int64_t>(tokens_.size())};
    std::vector<std::int64_t> lengths;
    for (const auto& shard : shards_) lengths.push_back(shard.size());
    return lengths;
  }

  /// Where a window begins.
  struct Place {
    std::size_t shard = 0;
    std::int64_t token = 0;
    bool operator==(const Place&) const = default;
  };
  Place place(std::uint64_t window, int time, std::uint64_t seed, Purpose purpose) const {
    const Layout& cut = layout(time);
    expect_windows(cut, time);
    return place(cut, window, time, seed, purpose);
  }

  /// Fills tokens (B x time) with the windows of batch `number`, and targets with the token that follows each. Batches
  /// for training are numbered from 1, and those for validation, which have windows of their own, from 0.
  void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int time, std::uint64_t seed,
            Purpose purpose, std::uint64_t number) const {
    const Layout& cut = layout(time);
    expect_windows(cut, time);
    const auto T = static_cast<std::size_t>(time), B = tokens.size() / T;
    const bool training = purpose == Purpose::training_batch;
    const std::uint64_t first =
        (training ? number - first_number_ : number) * static_cast<std::uint64_t>(B) + (training ? first_window_ : 0);
    for (std::size_t b = 0; b < B; ++b) {
      const Place from = place(cut, first + b, time, seed, purpose);
      read(from, tokens.subspan(b * T, T));
      std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(b * T) + 1, T - 1,
                  targets.begin() + static_cast<std::ptrdiff_t>(b * T));
      read({from.shard, from.token + time}, targets.subspan(b * T + T - 1, 1));
    }
  }

  /// Copies the tokens from `from` on, which must lie within its shard.
  void read(Place from, std::span<std::int32_t> to) const {
    if (shards_.empty()) {
      std::copy_n(tokens_.begin() + static_cast<std::ptrdiff_t>(from.token), to.size(), to.begin());
      return;
    }
    const TokenShard& shard = shards_[from.shard];
    if (const std::int32_t largest = shard.read(from.token, to); largest >= vocab_) {
      throw DamagedFile(
          shard.path().string() + " has changed since it was checked: at byte " +
          std::to_string(shard.offset(from.token)) + " or soon after is an id of " + std::to_string(largest) +
          ": leave files alone that are being trained on, and go on with the ones that the run began with");
    }
  }

 private:
  /// The corpus cut for one length of window: for each shard the count of windows, and of tokens at which one may
  /// begin, in it and before it.
  struct Layout {
    std::vector<std::int64_t> windows_to, starts_to;
    std::int64_t windows = 0, starts = 0;
  };

  Place place(const Layout& cut, std::uint64_t window, int time, std::uint64_t seed, Purpose purpose) const {
    const auto in_order = [](const std::vector<std::int64_t>& ends, std::int64_t i, std::int64_t stride) -> Place {
      const auto shard = std::upper_bound(ends.begin(), ends.end(), i) - ends.begin();
      const std::int64_t before = shard == 0 ? 0 : ends[static_cast<std::size_t>(shard) - 1];
      return {static_cast<std::size_t>(shard), (i - before) * stride};
    };
    if (sampling_ == Sampling::random) {
      const auto bits = random_bits(seed, purpose, window, 0)[0];
      return in_order(cut.starts_to, static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(cut.starts)), 1);
    }
    const auto n = static_cast<std::uint64_t>(cut.windows);
    return in_order(cut.windows_to, static_cast<std::int64_t>(Permutation(n, seed, purpose, window / n)(window % n)),
                    time);
  }

  void expect_windows(const Layout& cut, int time) const {
    if (cut.windows > 0) return;
    throw Error("the data are too short: not one window of " + std::to_string(time) +
                " tokens and the one that follows fits into them: give more, or take a model with a shorter context");
  }

  /// Made once for each length: a run has one or two.
  const Layout& layout(int time) const {
    const std::scoped_lock lock(layouts_->mutex);
    if (const auto found = layouts_->of.find(time); found != layouts_->of.end()) return found->second;
    Layout cut;
    const auto add = [&](std::int64_t tokens) {
      cut.windows_to.push_back(cut.windows += std::max<std::int64_t>(0, tokens - 1) / time);
      cut.starts_to.push_back(cut.starts += std::max<std::int64_t>(0, tokens - time));
    };
    if (shards_.empty()) add(static_cast<std::int64_t>(tokens_.size()));
    for (const auto& shard : shards_) add(shard.size());
    return layouts_->of.emplace(time, std::move(cut)).first->second;
  }
  struct Layouts {
    std::mutex mutex;
    std::map<int, Layout> of;
  };

  std::vector<std::int32_t> tokens_;
  std::vector<TokenShard> shards_;
  int vocab_ = 0;
  Sampling sampling_;
  std::uint64_t first_number_ = 1, first_window_ = 0;
  std::unique_ptr<Layouts> layouts_ = std::make_unique<Layouts>();
};

}  // namespace tinygpt

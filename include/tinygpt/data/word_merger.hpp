// The merging of byte-level BPE within one word: again and again the pair of lowest rank, of equal ones the leftmost.
//
// A short word is scanned for its lowest rank before each merge: nothing is faster for a handful of tokens. For a long
// one that would take quadratic time; it keeps its pairs in one bucket for each rank.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/data/vocabulary.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// The pairs of one rank in a long word, by the position of their left token; given back from left to right. Pairs that
/// come while it is being read are put in their places among those still to be read.
class PairBucket {
 public:
  void add(std::uint32_t position) {
    if (reading_) {
      late_.push_back(position);
      std::push_heap(late_.begin(), late_.end(), std::greater<>());
      return;
    }
    sorted_ = sorted_ && (positions_.empty() || positions_.back() <= position);
    positions_.push_back(position);
  }

  bool empty() const { return next_ == positions_.size() && late_.empty(); }

  /// The leftmost; not of an empty bucket.
  std::uint32_t take() {
    if (!reading_) {
      if (!sorted_) std::sort(positions_.begin(), positions_.end());
      reading_ = true;
    }
    if (late_.empty() || (next_ < positions_.size() && positions_[next_] <= late_.front())) return positions_[next_++];
    std::pop_heap(late_.begin(), late_.end(), std::greater<>());
    const std::uint32_t position = late_.back();
    late_.pop_back();
    return position;
  }

  /// Empty again, to be filled before it is read. Keeps memory for the next word, unless it was a giant's.
  void clear() {
    const auto forget = [](std::vector<std::uint32_t>& v) {
      v.clear();
      if (v.capacity() > 4096) v.shrink_to_fit();
    };
    forget(positions_);
    forget(late_);
    next_ = 0;
    sorted_ = true;
    reading_ = false;
  }

 private:
  std::vector<std::uint32_t> positions_, late_;
  std::size_t next_ = 0;
  bool sorted_ = true, reading_ = false;
};

/// Merges words. Has scratch memory, so each thread needs one of its own; the vocabulary must outlive it.
class WordMerger {
 public:
  /// Tokens up to which a word is scanned.
  static constexpr std::size_t short_word = 64;

  /// Bytes that are merged at a time where a word is longer.
  static constexpr std::size_t usual_piece = std::size_t{1} << 18;

  explicit WordMerger(const Vocabulary& vocabulary) : vocabulary_(vocabulary), merges_(vocabulary.merges()) {}

  /// `ids` become those of the word: first of its bytes, which are all known, then merged.
  void merge(std::string_view word, std::vector<std::int32_t>& ids) {
    ids.resize(word.size());
    for (std::size_t i = 0; i < word.size(); ++i) ids[i] = vocabulary_.id_of_byte(word[i]);
    if (merges_.empty()) return;
    ids.resize(word.size() <= short_word ? merge_short(word, ids) : merge_long(word, ids));
  }

  /// Calls use(ids) for the ids of a word of any length in pieces, with a memory that does not depend on its length:
  /// merging takes some 25 bytes for each byte.
  ///
  /// A piece ends where the next one begins with the same token as the rest of this one. No merge of the whole word
  /// crosses such a place: what happens within two neighbouring tokens happens in the order of the ranks, whatever lies
  /// around them, so a pair across the place would have been merged in the piece that holds them both, too. Where the
  /// next piece would begin with another token, this one becomes longer.
  template <class Use> void merge_in_pieces(std::string_view word, Use&& use, std::size_t piece = usual_piece) {
    std::vector<std::int32_t> ids, ahead;
    std::size_t length = piece;
    merge(word.substr(0, length), ids);
    while (length < word.size()) {
      std::size_t kept = 0, bytes = 0;
      while (kept < ids.size() && bytes < length - length / 8) bytes += vocabulary_.bytes(ids[kept++]).size();
      if (kept < ids.size()) {
        merge(word.substr(bytes, piece), ahead);
        if (ahead.front() == ids[kept]) {
          use(std::span<const std::int32_t>(ids).first(kept));
          word.remove_prefix(bytes);
          ids.swap(ahead);
          length = piece;
          continue;
        }
      }
      length *= 2;
      merge(word.substr(0, length), ids);
    }
    use(std::span<const std::int32_t>(ids));
  }

 private:
  std::size_t merge_short(std::string_view word, std::span<std::int32_t> ids) const {
    std::int32_t ranks[short_word];  // ranks[i] is that of ids[i] and ids[i + 1]
    std::size_t n = ids.size();
    for (std::size_t i = 0; i + 1 < n; ++i) ranks[i] = vocabulary_.rank_of_bytes(word[i], word[i + 1]);
    while (n > 1) {
      std::size_t lowest = 0;
      for (std::size_t i = 1; i + 1 < n; ++i) {
        if (ranks[i] < ranks[lowest]) lowest = i;
      }
      if (ranks[lowest] == MergeTable::none) break;
      ids[lowest] = merges_[static_cast<std::size_t>(ranks[lowest])].merged;
      --n;
      for (std::size_t i = lowest + 1; i < n; ++i) ids[i] = ids[i + 1];
      for (std::size_t i = lowest + 1; i + 1 < n; ++i) ranks[i] = ranks[i + 1];
      if (lowest > 0) ranks[lowest - 1] = rank_of(ids[lowest - 1], ids[lowest]);
      if (lowest + 1 < n) ranks[lowest] = rank_of(ids[lowest], ids[lowest + 1]);
    }
    return n;
  }

  std::int32_t rank_of(std::int32_t left, std::int32_t right) const {
    return vocabulary_.merge_table().rank(left, right);
  }

  /// The tokens of a long word are a list that is linked within arrays; the place of a token is that of its first byte.
  std::size_t merge_long(std::string_view word, std::span<std::int32_t> ids) {
    if (ids.size() >= end) {
      throw Error("a word of " + std::to_string(ids.size()) +
                  " bytes is too long to encode: put a space or a newline after every 4 billion bytes");
    }
    const auto n = static_cast<std::uint32_t>(ids.size());
    if (bucket_of_.empty()) bucket_of_.assign(merges_.size(), no_bucket);
    next_.resize(n);
    previous_.resize(n);
    for (std::uint32_t i = 0; i < n; ++i) next_[i] = i + 1 < n ? i + 1 : end, previous_[i] = i > 0 ? i - 1 : end;
    for (std::uint32_t i = 0; i + 1 < n; ++i) add_pair(vocabulary_.rank_of_bytes(word[i], word[i + 1]), i);
    while (!ranks_.empty()) {
      const std::int32_t rank = ranks_.top();
      if (!merge_rank(ids, rank)) continue;  // a lower one came up: this one goes on later
      ranks_.pop();
      auto& bucket = bucket_of_[static_cast<std::size_t>(rank)];
      buckets_[bucket].clear();
      free_.push_back(bucket);
      bucket = no_bucket;
    }
    std::size_t kept = 0;
    for (std::uint32_t i = 0; i != end; i = next_[i]) ids[kept++] = ids[i];
    if (n > (1u << 16)) {
      next_ = {};
      previous_ = {};
    }
    return kept;
  }

  /// Merges the pairs of a rank from left to right. False where a pair of lower rank came up before the last.
  bool merge_rank(std::span<std::int32_t> ids, std::int32_t rank) {
    const Merge& merge = merges_[static_cast<std::size_t>(rank)];
    const std::uint32_t bucket = bucket_of_[static_cast<std::size_t>(rank)];
    while (!buckets_[bucket].empty()) {
      const std::uint32_t at = buckets_[bucket].take();
      // The pair may have gone into another since.
      if (ids[at] != merge.left || next_[at] == end || ids[next_[at]] != merge.right) continue;
      ids[at] = merge.merged;
      const std::uint32_t gone = next_[at];
      ids[gone] = -1;
      next_[at] = next_[gone];
      if (next_[at] != end) previous_[next_[at]] = at;
      if (previous_[at] != end) add_pair(rank_of(ids[previous_[at]], ids[at]), previous_[at]);
      if (next_[at] != end) add_pair(rank_of(ids[at], ids[next_[at]]), at);
      if (ranks_.top() < rank) return false;
    }
    return true;
  }

  /// Remembers the pair that begins at a position, where there is a merge for it.
  void add_pair(std::int32_t rank, std::uint32_t at) {
    if (rank == MergeTable::none) return;
    auto& bucket = bucket_of_[static_cast<std::size_t>(rank)];
    if (bucket == no_bucket) {
      if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(buckets_.size()));
        buckets_.emplace_back();
      }
      bucket = free_.back();
      free_.pop_back();
      ranks_.push(rank);
    }
    buckets_[bucket].add(at);
  }

  static constexpr std::uint32_t end = ~std::uint32_t{0}, no_bucket = ~std::uint32_t{0};

  const Vocabulary& vocabulary_;
  std::span<const Merge> merges_;
  std::vector<std::uint32_t> next_, previous_;
  std::vector<std::uint32_t> bucket_of_;  ///< by rank
  std::vector<PairBucket> buckets_;
  std::vector<std::uint32_t> free_;                                                     ///< buckets that no rank has
  std::priority_queue<std::int32_t, std::vector<std::int32_t>, std::greater<>> ranks_;  ///< those that have a bucket
};

}  // namespace tinygpt

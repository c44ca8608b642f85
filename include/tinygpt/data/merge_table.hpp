// The merges of byte-level BPE: which pair of neighbouring tokens becomes which, and which pair first.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace tinygpt {

/// Two neighbouring tokens become one. Its place in the list of merges is its rank: the lowest goes first.
struct Merge {
  std::int32_t left = 0, right = 0, merged = 0;
  friend bool operator==(const Merge&, const Merge&) = default;
};

/// From a pair of ids to the rank of its merge, in constant time. Eight bytes a slot, as most of the time of a word
/// that is new goes into waiting for them: the pair itself is in the list of merges.
class MergeTable {
 public:
  static constexpr std::int32_t none = std::numeric_limits<std::int32_t>::max();  ///< the rank of a pair without merge

  MergeTable() : MergeTable(std::span<const Merge>()) {}
  /// Empty, with room for all of `merges`, which must outlive it.
  explicit MergeTable(std::span<const Merge> merges) : merges_(merges), slots_(std::bit_ceil(2 * merges.size() + 2)) {
    shift_ = 64 - std::countr_zero(slots_.size());
  }

  /// Puts merges[rank] in; false where its pair is there already.
  bool insert(std::int32_t rank) {
    const Merge& merge = merges_[static_cast<std::size_t>(rank)];
    const std::uint64_t hash = hash_of(merge.left, merge.right);
    for (std::size_t at = place(hash);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].rank == none) {
        slots_[at] = {tag(hash), rank};
        return true;
      }
      if (is(slots_[at], hash, merge.left, merge.right)) return false;
    }
  }

  std::int32_t rank(std::int32_t left, std::int32_t right) const {
    const std::uint64_t hash = hash_of(left, right);
    for (std::size_t at = place(hash);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].rank == none || is(slots_[at], hash, left, right)) return slots_[at].rank;
    }
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t rank = none;
  };

  static std::uint64_t hash_of(std::int32_t left, std::int32_t right) {
    std::uint64_t key =
        static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    key ^= key >> 29;
    return key * 0x9E3779B97F4A7C15u;
  }
  /// Both halves of the key reach the high bits, which choose the slot; the tag is of those below.
  std::size_t place(std::uint64_t hash) const { return static_cast<std::size_t>(hash >> shift_); }
  static std::uint32_t tag(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 8); }
  bool is(const Slot& slot, std::uint64_t hash, std::int32_t left, std::int32_t right) const {
    if (slot.tag != tag(hash)) return false;
    const Merge& merge = merges_[static_cast<std::size_t>(slot.rank)];
    return merge.left == left && merge.right == right;
  }

  std::span<const Merge> merges_;
  std::vector<Slot> slots_;
  int shift_;
};

}  // namespace tinygpt

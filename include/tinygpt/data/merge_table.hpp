// The merges of byte-level BPE: which pair of neighbouring tokens becomes which, and which pair first.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace tinygpt {

/// Two neighbouring tokens become one. Its place in the list of merges is its rank: the lowest goes first.
struct Merge {
  std::int32_t left = 0, right = 0, merged = 0;
  friend bool operator==(const Merge&, const Merge&) = default;
};

/// From a pair of ids to its merge, in constant time. Immutable once it is filled.
class MergeTable {
 public:
  static constexpr std::int32_t none = std::numeric_limits<std::int32_t>::max();  ///< the rank of a pair without merge

  struct Found {
    std::int32_t rank = none;
    std::int32_t merged = -1;
  };

  MergeTable() : MergeTable(0) {}
  explicit MergeTable(std::size_t merges) : slots_(std::bit_ceil(2 * merges + 2)) {
    shift_ = 64 - std::countr_zero(slots_.size());
  }

  /// False where the pair is there already. Ids must not be negative.
  bool insert(const Merge& merge, std::int32_t rank) {
    const std::uint64_t key = key_of(merge.left, merge.right);
    std::size_t at = place(key);
    for (; slots_[at].key != empty; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return false;
    }
    slots_[at] = {key, {rank, merge.merged}};
    return true;
  }

  Found find(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t at = place(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return slots_[at].found;
      if (slots_[at].key == empty) return {};
    }
  }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = empty;
    Found found;
  };

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  /// Both halves of the key reach the high bits, which choose the slot.
  std::size_t place(std::uint64_t key) const {
    key ^= key >> 29;
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
  }

  std::vector<Slot> slots_;
  int shift_;
};

}  // namespace tinygpt

// How often each pair of neighbouring tokens occurs while merges are learned, and which pair is due next.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tinygpt {

/// Two tokens as one number, whose order is that of the left one, then the right.
constexpr std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}
constexpr std::int32_t pair_left(std::uint64_t key) { return static_cast<std::int32_t>(key >> 32); }
constexpr std::int32_t pair_right(std::uint64_t key) { return static_cast<std::int32_t>(key & 0xFFFFFFFF); }

/// A count per pair, 0 for a pair that was never seen.
class PairCounts {
 public:
  std::int64_t& operator[](std::uint64_t key) {
    if (used_ >= slots_.size() / 8 * 5) grow();
    Slot& slot = slots_[place(slots_, key)];
    if (slot.key != key) {
      slot.key = key;
      ++used_;
    }
    return slot.count;
  }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = empty;
    std::int64_t count = 0;
  };

  /// Where the key is, or would be.
  static std::size_t place(const std::vector<Slot>& slots, std::uint64_t key) {
    std::uint64_t hash = (key ^ key >> 29) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
    std::size_t at = static_cast<std::size_t>(hash) & (slots.size() - 1);
    while (slots[at].key != empty && slots[at].key != key) at = (at + 1) & (slots.size() - 1);
    return at;
  }

  void grow() {
    std::vector<Slot> slots(std::max<std::size_t>(2 * slots_.size(), 1 << 14));
    for (const Slot& slot : slots_) {
      if (slot.key != empty) slots[place(slots, slot.key)] = slot;
    }
    slots_ = std::move(slots);
  }

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

/// The pairs that wait for their turn: the most frequent first, of equal ones the smaller pair. A count here is the one
/// that the pair had when it was put in; whoever takes it out must look whether that is still true.
class PairQueue {
 public:
  struct Entry {
    std::int64_t count;
    std::uint64_t key;
    std::vector<std::uint32_t> words;  ///< where the pair was met

    bool operator<(const Entry& other) const { return count != other.count ? count < other.count : key > other.key; }
  };

  bool empty() const { return heap_.empty(); }

  void push(Entry entry) {
    heap_.push_back(std::move(entry));
    std::push_heap(heap_.begin(), heap_.end());
  }

  Entry pop() {
    std::pop_heap(heap_.begin(), heap_.end());
    Entry entry = std::move(heap_.back());
    heap_.pop_back();
    return entry;
  }

 private:
  std::vector<Entry> heap_;
};

}  // namespace tinygpt

// How often each word occurs: a hash table made for many short words.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/error.hpp>

namespace tinygpt {

/// Words and their counts. A word takes its bytes, 12 more, and 8 to 16 in the table.
class WordCounts {
 public:
  void add(std::string_view word, std::int64_t times = 1) {
    if (words_ >= slots_.size() / 4 * 3) grow();
    const std::uint64_t hash = hash_of(word);
    std::size_t at = static_cast<std::size_t>(hash) & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1)) {
      if (((slots_[at] ^ hash) & hash_bits) != 0) continue;
      char* const record = record_at(slots_[at] & ~hash_bits);
      if (text_of(record) == word) return put(record, count_of(record) + times);
    }
    slots_[at] = (hash & hash_bits) | new_record(word, times);
    ++words_;
  }

  /// Takes the words of another in, and leaves it empty.
  void take(WordCounts&& other) {
    if (other.words_ > words_) std::swap(*this, other);
    other.slots_ = {};
    other.drain([this](std::string_view word, std::int64_t count) { add(word, count); });
  }

  /// Calls each(word, count) for every word in the order of their first occurrence, and is empty after that. Memory is
  /// given back on the way.
  template <class Each> void drain(Each&& each) {
    slots_ = {};
    for (Block& block : blocks_) {
      for (std::size_t at = block.first; at < block.used;) {
        const char* const record = block.bytes.get() + at;
        const std::string_view word = text_of(record);
        each(word, count_of(record));
        at += head_bytes + word.size();
      }
      block.bytes.reset();
    }
    *this = {};
  }

  /// Different words.
  std::size_t size() const { return words_; }
  /// Bytes of all different words.
  std::size_t bytes() const { return bytes_; }

 private:
  // A slot is 24 bits of the hash over the 40 bits of a record's place: its block, and where in it.
  static constexpr int place_bits = 40, block_bits = 20;
  static constexpr std::uint64_t hash_bits = ~std::uint64_t{0} << place_bits;
  static constexpr std::size_t block_bytes = std::size_t{1} << block_bits;
  // A record is a count, the number of bytes, and these.
  static constexpr std::size_t head_bytes = 12;

  struct Block {
    std::unique_ptr<char[]> bytes;
    std::size_t first, used, size;  ///< records lie from first to used
  };

  static std::int64_t count_of(const char* record) {
    std::int64_t count;
    std::memcpy(&count, record, sizeof count);
    return count;
  }
  static std::string_view text_of(const char* record) {
    std::uint32_t size;
    std::memcpy(&size, record + sizeof(std::int64_t), sizeof size);
    return std::string_view(record + head_bytes, size);
  }
  static void put(char* record, std::int64_t count) { std::memcpy(record, &count, sizeof count); }

  char* record_at(std::uint64_t place) {
    return blocks_[place >> block_bits].bytes.get() + (place & (block_bytes - 1));
  }

  /// Eight bytes at a time, mixed by multiplications; the last eight may overlap those before.
  static std::uint64_t hash_of(std::string_view word) {
    constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;
    const auto load = [&](std::size_t at, std::size_t bytes) {
      std::uint64_t value = 0;
      std::memcpy(&value, word.data() + at, bytes);
      return value;
    };
    const auto mix = [](std::uint64_t h) { return (h ^ h >> 32) * odd; };
    const std::size_t n = word.size();
    std::uint64_t hash = n * odd;
    if (n >= 8) {
      for (std::size_t at = 0; at + 8 < n; at += 8) hash = mix(hash ^ load(at, 8));
      hash = mix(hash ^ load(n - 8, 8));
    } else if (n >= 4) {
      hash = mix(hash ^ (load(0, 4) << 32 | load(n - 4, 4)));
    } else if (n > 0) {
      hash = mix(hash ^ (load(0, 1) << 16 | load(n / 2, 1) << 8 | load(n - 1, 1)));
    }
    hash = mix(hash);
    return hash ^ hash >> 29;
  }

  std::uint64_t new_record(std::string_view word, std::int64_t times) {
    if (word.size() > std::numeric_limits<std::uint32_t>::max()) {
      throw Error("a word has more than 4 GB, with no space in it: check that the input is text");
    }
    const auto size = static_cast<std::uint32_t>(word.size());
    const std::size_t bytes = head_bytes + word.size();
    if (blocks_.empty() || blocks_.back().size - blocks_.back().used < bytes) {
      if (blocks_.size() >= std::size_t{1} << (place_bits - block_bits)) {
        throw Error("the input has more than 1 TB of different words: give less of it");
      }
      const std::size_t first = blocks_.empty() ? 1 : 0;  // so that no place is 0, which means an empty slot
      const std::size_t room = std::max(block_bytes, first + bytes);
      blocks_.push_back({std::make_unique_for_overwrite<char[]>(room), first, first, room});
    }
    Block& block = blocks_.back();
    char* const record = block.bytes.get() + block.used;
    put(record, times);
    std::memcpy(record + sizeof times, &size, sizeof size);
    std::memcpy(record + head_bytes, word.data(), word.size());
    const std::uint64_t place = (blocks_.size() - 1) << block_bits | block.used;
    block.used += bytes;
    bytes_ += word.size();
    return place;
  }

  void grow() {
    std::vector<std::uint64_t> slots(std::max<std::size_t>(2 * slots_.size(), 1024));
    slots_ = {};
    std::uint64_t block_number = 0;
    for (const Block& block : blocks_) {
      for (std::size_t at = block.first; at < block.used;) {
        const std::string_view word = text_of(block.bytes.get() + at);
        const std::uint64_t hash = hash_of(word);
        std::size_t slot = static_cast<std::size_t>(hash) & (slots.size() - 1);
        while (slots[slot] != 0) slot = (slot + 1) & (slots.size() - 1);
        slots[slot] = (hash & hash_bits) | block_number << block_bits | at;
        at += head_bytes + word.size();
      }
      ++block_number;
    }
    slots_ = std::move(slots);
  }

  std::vector<std::uint64_t> slots_;
  std::vector<Block> blocks_;
  std::size_t words_ = 0, bytes_ = 0;
};

}  // namespace tinygpt

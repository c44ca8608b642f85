// Words that were encoded before, with their tokens: most words of a text are among them. Its memory is bounded.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace tinygpt {

namespace word_key {

/// A word as two numbers: its bytes, zeros, and its length.
struct Key {
  std::uint64_t low = 0, high = 0;
};

/// Ones where a word of each length has its bytes.
inline constexpr std::array<Key, 16> masks = [] {
  std::array<Key, 16> all{};
  for (std::size_t n = 0; n < 16; ++n) {
    all[n].low = n >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * n) - 1;
    all[n].high = n <= 8 ? 0 : (std::uint64_t{1} << 8 * (n - 8)) - 1;
  }
  return all;
}();

}  // namespace word_key

/// From a word of up to 15 bytes to its tokens, at most four, in one line of the processor's cache; and a second table
/// for words of up to 62 bytes and 16 tokens. A new word takes the place of the older one of the two in its line.
class WordCache {
 public:
  static constexpr std::size_t short_bytes = 15, short_ids = 4, long_bytes = 62, long_ids = 16;

  using Key = word_key::Key;

  struct Entry {
    std::uint64_t low = 0, high = 0;  ///< as in Key, with the number of ids in the high bits of the last byte
    std::array<std::int32_t, short_ids> ids{};

    std::size_t count() const { return static_cast<std::size_t>(high >> 60); }
    bool holds(const Key& key) const { return low == key.low && ((high ^ key.high) & ~(std::uint64_t{15} << 60)) == 0; }
  };

  WordCache() : short_(std::size_t{1} << short_bits), long_(std::size_t{1} << long_bits) {}

  /// The key of a word of 1 to 15 bytes; `end` is the end of the text that it lies in.
  static Key key_of(std::string_view word, const char* end) {
    Key key;
    const std::size_t n = word.size();
    if (std::endian::native == std::endian::little && end - word.data() >= 16) {
      std::memcpy(&key.low, word.data(), 8);
      std::memcpy(&key.high, word.data() + 8, 8);
      // The bytes after the word are not part of it. Lengths are hard to predict, so nothing branches on them.
      key.low &= word_key::masks[n].low;
      key.high &= word_key::masks[n].high;
    } else {
      char bytes[16] = {};
      std::memcpy(bytes, word.data(), n);
      for (std::size_t i = 0; i < 8; ++i) {
        key.low |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << 8 * i;
        key.high |= std::uint64_t{static_cast<unsigned char>(bytes[8 + i])} << 8 * i;
      }
    }
    key.high |= std::uint64_t{n} << 56;
    return key;
  }

  /// Null where the word is not there.
  const Entry* find(const Key& key) const {
    const auto& line = short_[place(key)];
    const bool second = line[1].holds(key);
    return second || line[0].holds(key) ? &line[second] : nullptr;
  }

  /// At most `short_ids` ids.
  void insert(const Key& key, std::span<const std::int32_t> ids) {
    auto& line = short_[place(key)];
    line[1] = line[0];
    line[0] = {key.low, key.high | std::uint64_t{ids.size()} << 60, {}};
    std::copy(ids.begin(), ids.end(), line[0].ids.begin());
  }

  /// The tokens of a word of up to 62 bytes, none where it is not there.
  std::span<const std::int32_t> find_long(std::string_view word) const {
    const LongEntry& entry = long_[place(word)];
    if (entry.bytes != word.size() || std::memcmp(entry.text.data(), word.data(), word.size()) != 0) return {};
    return {entry.ids.data(), entry.count};
  }

  /// At most `long_bytes` bytes and `long_ids` ids.
  void insert_long(std::string_view word, std::span<const std::int32_t> ids) {
    LongEntry& entry = long_[place(word)];
    entry.bytes = static_cast<std::uint8_t>(word.size());
    entry.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(entry.text.data(), word.data(), word.size());
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  }

 private:
  static constexpr int short_bits = 14, long_bits = 12;  // 1 MiB, which second-level caches hold, and half of one
  static constexpr std::uint64_t odd = 0x9E3779B97F4A7C15u;

  struct LongEntry {
    std::uint8_t bytes = 0, count = 0;
    std::array<char, long_bytes> text{};
    std::array<std::int32_t, long_ids> ids{};
  };

  static std::size_t place(const Key& key) {
    return static_cast<std::size_t>(((key.low * odd) ^ std::rotl(key.high * 0xC2B2AE3D27D4EB4Fu, 32)) * odd >>
                                    (64 - short_bits));
  }
  static std::size_t place(std::string_view word) {
    std::uint64_t hash = word.size();
    for (; word.size() >= 8; word.remove_prefix(8)) {
      std::uint64_t part;
      std::memcpy(&part, word.data(), 8);
      hash = std::rotl((hash ^ part) * odd, 29);
    }
    for (const char c : word) hash = std::rotl((hash ^ static_cast<unsigned char>(c)) * odd, 29);
    return static_cast<std::size_t>(hash * odd >> (64 - long_bits));
  }

  struct alignas(64) Line : std::array<Entry, 2> {};

  std::vector<Line> short_;
  std::vector<LongEntry> long_;
};

}  // namespace tinygpt

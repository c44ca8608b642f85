// A file of token ids, as llm.c, nanoGPT and this project write them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/data/mapped_file.hpp>

namespace tinygpt {

/// Sources: llm.c (dev/data/data_common.py, train_gpt2.py) for the two with a header; nanoGPT (data/*/prepare.py).
enum class ShardFormat {
  llmc_uint16,  ///< header of 256 int32 (20240520, 1, number of tokens, 0, ...), then uint16
  llmc_uint32,  ///< header of 256 int32 (20240801, 7, number of tokens, 0, ...), then uint32
  raw_uint16,   ///< nothing but uint16
  raw_uint32    ///< nothing but uint32
};

namespace shard {

inline constexpr std::int64_t llmc_header_bytes = 1024;
inline constexpr std::int64_t llmc_most_tokens = 2'147'483'647;  // an int32 counts them

constexpr bool has_header(ShardFormat f) { return f == ShardFormat::llmc_uint16 || f == ShardFormat::llmc_uint32; }
constexpr std::int64_t header_bytes(ShardFormat format) { return has_header(format) ? llmc_header_bytes : 0; }
constexpr std::int64_t token_bytes(ShardFormat f) {
  return f == ShardFormat::llmc_uint16 || f == ShardFormat::raw_uint16 ? 2 : 4;
}
/// The smallest format of llm.c's that holds the ids of a vocabulary.
constexpr ShardFormat llmc_format(int vocab) {
  return vocab <= 65536 ? ShardFormat::llmc_uint16 : ShardFormat::llmc_uint32;
}

struct LlmcHeader {
  std::int32_t magic, version, tokens;
};
constexpr LlmcHeader llmc_header(ShardFormat format, std::int32_t tokens) {
  return format == ShardFormat::llmc_uint16 ? LlmcHeader{20240520, 1, tokens} : LlmcHeader{20240801, 7, tokens};
}

/// What a file is that begins with `magic` and is no token shard; empty where that is not known.
inline std::string other_kind(std::int32_t magic) {
  switch (magic) {
    case 20240522:
      return "questions for an evaluation";
    case 20240326:
      return "a model";
    case 20240327:
      return "the debug state of a model";
    case 20240328:
      return "a tokenizer";
    case 20240527:
      return "the state of an optimizer";
    default:
      return "";
  }
}

}  // namespace shard

static_assert(std::endian::native == std::endian::little,
              "tinygpt: shards are little-endian, and so must the machine be");

/// A mapped file of token ids. Opening it checks every size; whether the ids suit a vocabulary, validate() says.
/// Reading is const and may be done by several threads.
class TokenShard {
 public:
  /// Without a format the file must have one of llm.c's headers: a raw one cannot be told from any other file.
  static TokenShard open(const std::filesystem::path& path, std::optional<ShardFormat> format = std::nullopt) {
    MappedFile file(path);
    const ShardFormat known = !format || shard::has_header(*format) ? checked_header(file, format) : *format;
    return TokenShard(std::move(file), known);
  }

  /// The format that the first bytes of the file name, if they do.
  static std::optional<ShardFormat> format_of(const std::filesystem::path& path) {
    const MappedFile file(path);
    const auto magic = word(file, 0);
    for (const auto format : {ShardFormat::llmc_uint16, ShardFormat::llmc_uint32}) {
      if (magic == shard::llmc_header(format, 0).magic) return format;
    }
    return std::nullopt;
  }

  /// Do the first tokens of a raw file show that they have four bytes? Read as two bytes, every second number would be
  /// the upper half of an id, and so below 16, where the others are not.
  static bool is_raw_uint32(const std::filesystem::path& path) {
    const MappedFile file(path);
    if (file.size() % 4 != 0) return false;
    constexpr std::int64_t most_bytes = std::int64_t{1} << 18;
    constexpr std::uint16_t small = 15;
    constexpr int enough = 16;  // one in 2^16 files of two bytes would have as many by chance
    int large_lower = 0, large_upper = 0, any_lower = 0, any_upper = 0;
    file.read([&](std::span<const std::byte> bytes) {
      const auto end = static_cast<std::size_t>(std::min(file.size(), most_bytes));
      for (std::size_t i = 0; i < end; i += 4) {
        std::uint16_t halves[2];
        std::memcpy(halves, bytes.data() + i, sizeof halves);
        large_lower += halves[0] > small, large_upper += halves[1] > small;
        any_lower += halves[0] != 0, any_upper += halves[1] != 0;
      }
    });
    return (large_upper == 0 && large_lower >= enough) || (any_upper == 0 && any_lower >= enough);
  }

  const std::filesystem::path& path() const { return file_.path(); }
  ShardFormat format() const { return format_; }
  std::int64_t size() const { return size_; }          ///< tokens
  std::int64_t bytes() const { return file_.size(); }  ///< of the file, its header included

  /// Where in the file a token begins.
  std::int64_t offset(std::int64_t token) const {
    return shard::header_bytes(format_) + token * shard::token_bytes(format_);
  }

  /// Fills `to` with the tokens from `first` on, and returns the largest of them (0 for none), so that a file that
  /// has changed since validate() can be noticed for nothing.
  std::int32_t read(std::int64_t first, std::span<std::int32_t> to) const {
    if (first < 0 || first > size_ || static_cast<std::int64_t>(to.size()) > size_ - first) {
      throw std::out_of_range("TokenShard::read: tokens beyond the end of the shard");
    }
    std::uint32_t largest = 0;
    const auto from = static_cast<std::size_t>(offset(first));
    file_.read([&](std::span<const std::byte> bytes) {
      largest = shard::token_bytes(format_) == 2 ? widen<std::uint16_t>(bytes.data() + from, to)
                                                 : widen<std::uint32_t>(bytes.data() + from, to);
    });
    if (largest > largest_id) {
      const auto at = std::find_if(to.begin(), to.end(), [](std::int32_t id) { return id < 0; });
      throw bad_id(first + (at - to.begin()), static_cast<std::uint32_t>(*at), "ids end at 2147483647",
                   "copy it or prepare it again");
    }
    return static_cast<std::int32_t>(largest);
  }

  /// Throws where an id is not in [0, vocab), naming the first such token and its place. see(bytes) is called for the
  /// bytes of the file in order, header included, so that they need to be read only once.
  template <class See> void validate(int vocab, See&& see) const {
    std::vector<std::byte> header(static_cast<std::size_t>(shard::header_bytes(format_)));
    file_.read([&](auto bytes) { std::copy_n(bytes.data(), header.size(), header.data()); });
    see(std::span<const std::byte>(header));
    const auto width = static_cast<std::size_t>(shard::token_bytes(format_));
    std::vector<std::byte> piece;
    std::vector<std::int32_t> ids;
    for (std::int64_t first = 0; first < size_; first += static_cast<std::int64_t>(ids.size())) {
      ids.resize(static_cast<std::size_t>(std::min<std::int64_t>(size_ - first, 1 << 18)));
      piece.resize(ids.size() * width);
      // Copied first, so that what is checked is what is seen, whoever writes to the file meanwhile.
      file_.read([&](auto bytes) {
        std::memcpy(piece.data(), bytes.data() + static_cast<std::size_t>(offset(first)), piece.size());
      });
      file_.release(offset(first), static_cast<std::int64_t>(piece.size()));
      const std::uint32_t largest =
          width == 2 ? widen<std::uint16_t>(piece.data(), ids) : widen<std::uint32_t>(piece.data(), ids);
      if (largest >= static_cast<std::uint32_t>(vocab)) {
        const auto bad = [&](std::int32_t id) {
          return static_cast<std::uint32_t>(id) >= static_cast<std::uint32_t>(vocab);
        };
        const auto at = std::find_if(ids.begin(), ids.end(), bad);
        throw bad_id(first + (at - ids.begin()), static_cast<std::uint32_t>(*at),
                     "the vocabulary has " + std::to_string(vocab) + " ids, to " + std::to_string(vocab - 1),
                     "prepare the data with the model's own tokenizer, or take a model with a larger vocabulary");
      }
      see(std::span<const std::byte>(piece));
    }
  }
  void validate(int vocab) const {
    validate(vocab, [](std::span<const std::byte>) {});
  }

 private:
  static constexpr std::uint32_t largest_id = 0x7FFFFFFF;

  TokenShard(MappedFile file, ShardFormat format) : file_(std::move(file)), format_(format) {
    const std::int64_t header = shard::header_bytes(format_), width = shard::token_bytes(format_);
    const std::int64_t after = file_.size() - header, odd = after % width;
    size_ = after / width;
    if (odd != 0) {
      throw damage("its last token, of " + std::to_string(width) + " bytes, begins at byte " +
                   std::to_string(offset(size_)) + " and is cut off after " + std::to_string(odd));
    }
  }

  /// The format that the header tells, once it is what the file is.
  static ShardFormat checked_header(const MappedFile& file, std::optional<ShardFormat> expected) {
    const auto damage = [&](const std::string& fault) { return damage_of(file.path(), fault); };
    const auto path = file.path().string();
    if (file.size() < 4) {
      throw damage("it ends at byte " + std::to_string(file.size()) + ", inside the header of 1024 bytes");
    }
    const std::int32_t magic = *word(file, 0);
    ShardFormat format = ShardFormat::llmc_uint16;
    if (magic == shard::llmc_header(ShardFormat::llmc_uint32, 0).magic) {
      format = ShardFormat::llmc_uint32;
    } else if (magic != shard::llmc_header(format, 0).magic) {
      const std::string number = "at byte 0 it has " + std::to_string(static_cast<std::uint32_t>(magic));
      const std::string kind = shard::other_kind(magic);
      if (!kind.empty()) {
        throw DamagedFile(path + " is no token shard: " + number + ", so it holds " + kind +
                          ": give files of tokens, as prepare writes them");
      }
      throw DamagedFile(path + " is no token shard: " + number +
                        " instead of 20240520 or 20240801: give files of tokens, as prepare writes them");
    }
    if (expected && *expected != format) {
      throw DamagedFile(path + " is another kind of token shard: at byte 0 it has " + std::to_string(magic) +
                        " instead of " + std::to_string(shard::llmc_header(*expected, 0).magic) +
                        ": copy it or prepare it again");
    }
    if (file.size() < shard::llmc_header_bytes) {
      throw damage("it ends at byte " + std::to_string(file.size()) + ", inside the header of 1024 bytes");
    }
    const std::int32_t version = *word(file, 4), tokens = *word(file, 8);
    if (version != shard::llmc_header(format, 0).version) {
      throw damage("at byte 4 it has version " + std::to_string(version) + " instead of " +
                   std::to_string(shard::llmc_header(format, 0).version));
    }
    if (tokens < 0) throw damage("at byte 8 it counts " + std::to_string(tokens) + " tokens");
    if (tokens == 0) throw damage("at byte 8 it counts no tokens");
    const std::int64_t end = shard::llmc_header_bytes + tokens * shard::token_bytes(format);
    if (file.size() < end) {
      throw damage("it ends at byte " + std::to_string(file.size()) + ", but the " + std::to_string(tokens) +
                   " tokens that it counts at byte 8 end at byte " + std::to_string(end));
    }
    if (file.size() > end) {
      throw damage("the " + std::to_string(tokens) + " tokens that it counts at byte 8 end at byte " +
                   std::to_string(end) + ", but " + std::to_string(file.size() - end) + " bytes follow");
    }
    return format;
  }

  /// The little-endian number at a byte of the file, if there is one.
  static std::optional<std::int32_t> word(const MappedFile& file, std::int64_t at) {
    std::int32_t value = 0;
    if (at + 4 > file.size()) return std::nullopt;
    file.read([&](auto bytes) { std::memcpy(&value, bytes.data() + at, sizeof value); });
    return value;
  }

  /// Ids of type N at `from`, as the model reads them; returns the largest.
  template <class N> static std::uint32_t widen(const std::byte* from, std::span<std::int32_t> to) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < to.size(); ++i) {
      N id;
      std::memcpy(&id, from + i * sizeof(N), sizeof(N));
      largest = std::max<std::uint32_t>(largest, id);
      to[i] = static_cast<std::int32_t>(id);
    }
    return largest;
  }

  static DamagedFile damage_of(const std::filesystem::path& path, const std::string& fault) {
    return DamagedFile(path.string() + " is damaged: " + fault + ": copy it or prepare it again");
  }
  DamagedFile damage(const std::string& fault) const { return damage_of(path(), fault); }

  DamagedFile bad_id(std::int64_t token, std::uint32_t id, const std::string& limit, const std::string& advice) const {
    return DamagedFile(path().string() + " holds an id that is too large: token " + std::to_string(token) +
                       ", at byte " + std::to_string(offset(token)) + ", is " + std::to_string(id) + ", but " + limit +
                       ": " + advice);
  }

  MappedFile file_;
  ShardFormat format_;
  std::int64_t size_ = 0;
};

}  // namespace tinygpt

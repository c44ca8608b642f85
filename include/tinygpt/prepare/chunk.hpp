// Inputs in chunks: pieces of about a megabyte that end where a document or a row ends, so that threads can share them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/data/file_kind.hpp>
#include <tinygpt/data/word_boundary.hpp>
#include <tinygpt/prepare/input_stream.hpp>
#include <tinygpt/prepare/source.hpp>

namespace tinygpt::prepare {

struct Chunk {
  int source = 0, input = 0;
  std::int64_t offset = 0;     ///< of its first byte in the decompressed input
  std::int64_t line = 1;       ///< of its first byte
  bool ends_document = false;  ///< the next chunk of the input, if there is one, begins another document
  std::string text;
};

/// Is this one that takes much memory to encode? Others must wait for it.
struct LargeChunk {
  static constexpr std::size_t most_bytes = std::size_t{2} << 20;
  bool operator()(const Chunk& chunk) const { return chunk.text.size() > most_bytes; }
};

/// Does a UTF-8 sequence begin here?
inline bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

/// The last place at or before `at` that is not within a character; `at` where that is more than three bytes away, for
/// then it is no UTF-8.
inline std::size_t character_boundary(std::string_view text, std::size_t at) {
  for (std::size_t back = 0; back < 4 && back < at; ++back) {
    if (at - back == text.size() || begins_character(text[at - back])) return at - back;
  }
  return at;
}

/// Where a text without line ends is cut, at `at` or before: between words where there are some in the 4 KiB before, so
/// that the tokens of the parts are those of the whole, else between characters.
inline std::size_t cut_before(std::string_view text, std::size_t at) {
  constexpr std::size_t far = std::size_t{4} << 10;
  const std::size_t word = last_word_boundary(text.substr(0, at), at > far ? at - far : 0);
  return word != std::string_view::npos ? word : character_boundary(text, at);
}

inline std::int64_t count_newlines(std::string_view text) {
  constexpr std::size_t block = 128;  // as many as eight bits count, and a number that vectors like
  std::int64_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (; end - at >= static_cast<std::ptrdiff_t>(block); at += block) {
    std::uint8_t here = 0;
    for (std::size_t i = 0; i < block; ++i) here = static_cast<std::uint8_t>(here + (at[i] == '\n'));
    count += here;
  }
  return count + std::count(at, end, '\n');
}

/// Deals the inputs of all sources in chunks, one after the other, the same ones whenever it is asked again.
class ChunkReader {
 public:
  static constexpr std::size_t usual_bytes = std::size_t{1} << 20;
  static constexpr std::size_t longest_document = std::size_t{16} << 20;  ///< one that is longer is cut
  static constexpr std::size_t longest_row = std::size_t{64} << 20;

  /// `separator` ends a document in plain text; where it is empty a document ends with its file.
  ChunkReader(const std::vector<Source>& sources, std::string separator)
      : sources_(sources), separator_(std::move(separator)) {}

  std::optional<Chunk> next() {
    while (stream_ || open_next()) {
      Chunk chunk{source_, input_, offset_, line_, false, {}};
      if (take(chunk)) return chunk;
      close();
    }
    return std::nullopt;
  }

  /// Of all files so far, compressed as they are.
  std::int64_t bytes_read() const { return closed_bytes_ + (stream_ ? stream_->bytes_read() : 0); }
  /// Of every input that has been read to its end, in order.
  const std::vector<Fingerprint>& fingerprints() const { return fingerprints_; }

 private:
  const Input& input() const {
    return sources_[static_cast<std::size_t>(source_)].inputs[static_cast<std::size_t>(input_)];
  }

  bool open_next() {
    ++input_;
    while (source_ < static_cast<int>(sources_.size()) &&
           input_ >= static_cast<int>(sources_[static_cast<std::size_t>(source_)].inputs.size())) {
      ++source_, input_ = 0;
    }
    if (source_ >= static_cast<int>(sources_.size())) return false;
    stream_.emplace(input().path);
    offset_ = 0, line_ = 1;
    text_ended_ = false;
    held_.clear();
    return true;
  }

  void close() {
    closed_bytes_ += stream_->bytes_read();
    fingerprints_.push_back(stream_->fingerprint());
    stream_.reset();
  }

  void fill(std::size_t bytes) {
    const std::size_t had = held_.size();
    if (text_ended_ || had >= bytes) return;
    held_.resize(bytes);
    held_.resize(had + stream_->read(std::span(held_).subspan(had)));
    text_ended_ = held_.size() < bytes;
    if (offset_ == 0 && had == 0 && held_.starts_with(byte_order_mark)) {
      held_.erase(0, byte_order_mark.size());
      offset_ = static_cast<std::int64_t>(byte_order_mark.size());
    }
  }

  /// False where the input has no more.
  bool take(Chunk& chunk) {
    std::size_t bytes = usual_bytes, end = 0;
    for (;; bytes *= 2) {
      fill(bytes);
      chunk.offset = offset_;
      if (held_.empty()) return false;
      if (text_ended_ && held_.size() <= bytes) {
        end = held_.size();
        chunk.ends_document = true;
        break;
      }
      if ((end = good_end(chunk.ends_document)) != 0) break;
      if (input().layout == Layout::jsonl && bytes >= longest_row) {
        throw Error(input().path.string() + ":" + std::to_string(line_) +
                    ": the row is longer than 64 MiB: split it, or give it as plain text");
      }
    }
    std::string rest(held_, end);  // short, mostly
    held_.resize(end);
    chunk.text = std::exchange(held_, std::move(rest));
    offset_ += static_cast<std::int64_t>(end);
    line_ += count_newlines(chunk.text);
    return true;
  }

  /// Where the held text, which goes on, may be cut; 0 where more must be seen.
  std::size_t good_end(bool& ends_document) const {
    const std::string_view text = held_;
    const std::size_t newline = text.rfind('\n');
    if (input().layout == Layout::jsonl) return newline == std::string_view::npos ? 0 : newline + 1;
    if (!separator_.empty()) {
      const std::size_t at = text.rfind(separator_);
      ends_document = at != std::string_view::npos;
      if (ends_document) return at + separator_.size();
      // A longer one is cut, but neither within a word nor within the separator that may have begun.
      return text.size() < longest_document ? 0 : cut_before(text, text.size() - separator_.size());
    }
    const auto in_second_half = [&](std::size_t at) { return at != std::string_view::npos && at > text.size() / 2; };
    if (const std::size_t blank = text.rfind("\n\n"); in_second_half(blank)) return blank + 2;
    return in_second_half(newline) ? newline + 1 : cut_before(text, text.size() - 1);
  }

  const std::vector<Source>& sources_;
  std::string separator_;
  int source_ = 0, input_ = -1;
  std::optional<InputStream> stream_;
  std::string held_;  ///< read and not yet dealt
  bool text_ended_ = false;
  std::int64_t offset_ = 0, line_ = 1, closed_bytes_ = 0;
  std::vector<Fingerprint> fingerprints_;
};

}  // namespace tinygpt::prepare

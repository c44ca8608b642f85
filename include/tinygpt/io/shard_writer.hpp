// Writes a file of token ids: whole under its name, or not there.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <tinygpt/data/token_shard.hpp>
#include <tinygpt/io/atomic_file.hpp>

namespace tinygpt {

/// Tokens go to a temporary sibling, which finish() makes durable and gives the name; without finish() nothing is left.
/// The header's count is written last, so a shard may be as long as its tokens turn out to be.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path path, ShardFormat format)
      : path_(std::move(path)),
        format_(format),
        file_(path_, Checksum::take),
        buffer_(std::size_t{1} << 18) {
    file_.write(header(0));
  }
  /// Throws where an id does not fit into the format, or the header cannot count so many.
  void write(std::span<const std::int32_t> tokens) {
    const auto width = static_cast<std::size_t>(shard::token_bytes(format_));
    const std::int32_t most = width == 2 ? 65535 : 2'147'483'647;
    if (shard::has_header(format_) && static_cast<std::int64_t>(tokens.size()) > shard::llmc_most_tokens - tokens_) {
      throw Error("cannot write " + path_.string() + ": a shard has at most " +
                  std::to_string(shard::llmc_most_tokens) + " tokens: write more and smaller shards");
    }
    std::uint32_t largest = 0;
    for (const std::int32_t id : tokens) largest = std::max(largest, static_cast<std::uint32_t>(id));
    if (largest > static_cast<std::uint32_t>(most)) {
      const auto bad = [&](std::int32_t id) { return id < 0 || id > most; };
      const auto at = std::find_if(tokens.begin(), tokens.end(), bad);
      throw Error("cannot write " + path_.string() + ": token " + std::to_string(tokens_ + (at - tokens.begin())) +
                  " is " + std::to_string(*at) + ", but such a shard holds ids from 0 to " + std::to_string(most) +
                  ": write 32-bit tokens");
    }
    while (!tokens.empty()) {
      const auto now = tokens.first(std::min(tokens.size(), (buffer_.size() - filled_) / width));
      std::byte* const to = buffer_.data() + filled_;
      if (width == 2) {
        for (std::size_t i = 0; i < now.size(); ++i) {
          const auto id = static_cast<std::uint16_t>(now[i]);
          std::memcpy(to + 2 * i, &id, 2);
        }
      } else {
        std::memcpy(to, now.data(), now.size_bytes());
      }
      filled_ += now.size() * width;
      tokens_ += static_cast<std::int64_t>(now.size());
      tokens = tokens.subspan(now.size());
      if (filled_ == buffer_.size()) flush();
    }
  }

  /// Makes the shard durable under its name. One without tokens is an error: nobody could read it.
  void finish() {
    if (tokens_ == 0) throw Error("cannot write " + path_.string() + ": it would hold no tokens: leave it out");
    flush();
    if (shard::has_header(format_)) file_.replace_front(header(0), header(static_cast<std::int32_t>(tokens_)));
    file_.commit();
  }

  const std::filesystem::path& path() const { return path_; }
  std::int64_t tokens() const { return tokens_; }

  // Of the file as it is after finish(), header included.
  std::int64_t bytes() const { return file_.size(); }
  std::uint32_t crc() const { return file_.crc(); }

 private:
  std::vector<std::byte> header(std::int32_t tokens) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(shard::header_bytes(format_)));
    const auto first = shard::llmc_header(format_, tokens);
    if (!bytes.empty()) std::memcpy(bytes.data(), &first, sizeof first);
    return bytes;
  }

  void flush() {
    file_.write(std::span<const std::byte>(buffer_).first(filled_));
    filled_ = 0;
  }

  std::filesystem::path path_;
  ShardFormat format_;
  AtomicFile file_;
  std::vector<std::byte> buffer_;
  std::size_t filled_ = 0;
  std::int64_t tokens_ = 0;
};

}  // namespace tinygpt

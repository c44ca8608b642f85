// A text file as a corpus: read whole, checked, split into a training and a validation part.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

#include <tinygpt/data/file_kind.hpp>
#include <tinygpt/data/regular_file.hpp>
#include <tinygpt/data/utf8.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// The whole of a UTF-8 text file, without the byte-order mark that it may begin with. Each way in which it can be
/// unfit is one sentence.
inline std::string read_text_file(const std::filesystem::path& path) {
  std::string text;
  {
    const auto [fd, size] = open_regular(path);
    // In one piece, so that the text never takes more memory than its length.
    text.resize(static_cast<std::size_t>(size));
    std::size_t read = 0;
    while (read < text.size()) {
      const ssize_t n = ::read(fd.get(), text.data() + read, std::min(text.size() - read, std::size_t{1} << 30));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw file_error("read", path, errno);
      if (n == 0) break;  // it is shorter than it was
      read += static_cast<std::size_t>(n);
    }
    text.resize(read);
  }
  if (const auto kind = kind_of(text)) throw Error("cannot read " + path.string() + " as text: " + kind->sentence());
  if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  if (text.empty()) throw Error(path.string() + " is empty: give a text file of about a million characters or more");
  if (const auto fault = first_utf8_fault(text)) {
    throw Error(path.string() + " is not UTF-8 text: " + utf8_fault_sentence(text, *fault));
  }
  return text;
}

/// The two parts of a corpus.
struct Split {
  std::string_view train;
  std::string_view validation;
};

/// The last 10 % of a text is for validation. Each part must hold one context of `ctx` tokens and the token after it.
inline Split split_text(std::string_view text, int ctx, const std::filesystem::path& path) {
  std::size_t at = text.size() - text.size() / 10;
  // A character of several bytes stays whole.
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  const Split split{text.substr(0, at), text.substr(at)};
  const auto least = static_cast<std::size_t>(ctx) + 1;
  if (split.train.size() < least || split.validation.size() < least) {
    // Characters of several bytes may move the cut by up to three.
    const bool one_byte_each = std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
    throw Error(path.string() + " is too short: its last 10 %, " + std::to_string(split.validation.size()) +
                " bytes, must hold one context of " + std::to_string(ctx) +
                " tokens and the one that follows: give at least " +
                std::to_string(10 * (one_byte_each ? least : least + 3)) + " bytes");
  }
  return split;
}

}  // namespace tinygpt

// A text file as a corpus: read whole, checked, split into a training and a validation part.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// The whole of a UTF-8 text file. Each way in which it can be unfit is one sentence.
inline std::string read_text_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw Error("cannot read " + path.string() + ": there is no such file: check the path");
  }
  if (std::filesystem::is_directory(status)) {
    throw Error("cannot read " + path.string() + ": it is a directory: give one text file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot read " + path.string() + ": permission denied: change its permissions or copy it");
  // In one piece where the size is known, so that the text never takes more memory than its length.
  const auto size = std::filesystem::file_size(path, error);
  std::string text(error ? 0 : static_cast<std::size_t>(size), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.eof()) file.clear(std::ios::eofbit);  // it is shorter than it was
  if (!file.eof() && !file.bad()) text.append(std::istreambuf_iterator<char>(file), {});
  if (file.bad()) throw Error("cannot read " + path.string() + ": the disk reports a fault: use another copy");
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);  // a byte-order mark is no part of the text
  if (text.empty()) throw Error(path.string() + " is empty: give a text file of about a million characters or more");
  if (const auto fault = first_utf8_fault(text)) {
    char byte[8];
    std::snprintf(byte, sizeof byte, "0x%02x", static_cast<unsigned char>(text[*fault]));
    throw Error(path.string() + " is not UTF-8 text: byte " + byte + " at offset " + std::to_string(*fault) +
                ": convert it, for example with iconv -f LATIN1 -t UTF-8");
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

// The merges in the files of byte-level BPE: a line of two tokens for each, after a line that begins with #version.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/io/json.hpp>

namespace tinygpt {

/// The two tokens of each line, by reference into `text`; the first merge is in line `first_line`.
struct MergeLines {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  std::size_t first_line = 1;

  std::string place(std::size_t pair) const { return "line " + std::to_string(first_line + pair); }
};

/// Reads the content of a vocab.bpe or merges.txt. Line ends may be those of Windows; the last may be missing.
inline MergeLines parse_merges(std::string_view text, const std::filesystem::path& path) {
  if (const auto at = first_utf8_fault(text)) {
    throw damaged(path, "it is not UTF-8 at byte " + std::to_string(*at));
  }
  MergeLines lines;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view merge = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (merge.ends_with('\r')) merge.remove_suffix(1);
    if (line == 1 && merge.starts_with("#version")) {
      lines.first_line = 2;
      continue;
    }
    if (merge.empty() && text.empty()) break;
    const auto space = merge.find(' ');
    if (space == merge.npos || space == 0 || space + 1 == merge.size() || merge.find(' ', space + 1) != merge.npos) {
      throw damaged(path, "line " + std::to_string(line) + " must be two tokens with a space between");
    }
    lines.pairs.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return lines;
}

}  // namespace tinygpt

// The documents of a chunk: rows of JSONL, parts of a text between separators, or pieces of a long text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/prepare/chunk.hpp>
#include <tinygpt/prepare/json_row.hpp>

namespace tinygpt::prepare {

/// One document, or a part of one: a long text is dealt in parts, each of which can go to training or to validation.
struct Document {
  std::string_view text;
  bool ends = true;    ///< false: the next one goes on with the same document
  std::size_t at = 0;  ///< where it, or its row, begins in the chunk
};

/// The line of the input that a place of a chunk is in.
inline std::int64_t line_of(const Chunk& chunk, std::size_t at) {
  return chunk.line + count_newlines(std::string_view(chunk.text).substr(0, at));
}

/// A row that cannot be used, and why.
struct BadRow {
  std::int64_t line = 0, offset = 0;  ///< of its first byte in the input
  std::string why;
};

namespace document {

inline constexpr std::size_t least_part = std::size_t{4} << 10, longest_part = std::size_t{64} << 10;

/// Where the part of a text that begins at 0 ends: at the first blank line after 4 KiB if it comes within 16 KiB, else
/// at the first end of a line, else between words, else at a character.
inline std::size_t part_end(std::string_view text) {
  if (text.size() <= 2 * least_part) return text.size();
  const auto window = text.substr(0, longest_part);
  std::size_t line = std::string_view::npos;
  for (std::size_t at = window.find('\n', least_part); at != std::string_view::npos; at = window.find('\n', at + 1)) {
    if (line == std::string_view::npos) line = at + 1;
    if (at > 4 * least_part) break;
    const auto rest = window.substr(at + 1);
    if (rest.starts_with("\n")) return at + 2;
    if (rest.starts_with("\r\n")) return at + 3;
  }
  if (line != std::string_view::npos) return line;
  return window.size() < longest_part ? text.size() : cut_before(text, longest_part);
}

}  // namespace document

/// Calls take(Document) for every document of a chunk in order, and bad(BadRow) for what cannot be one. `separator` as
/// ChunkReader has it; `field` is the member of a JSONL row that holds its text.
template <class Take, class Bad>
void for_each_document(const Chunk& chunk, Layout layout, std::string_view separator, std::string_view field,
                       Take&& take, Bad&& bad) {
  std::string_view rest = chunk.text;
  if (layout == Layout::jsonl) {
    for (std::int64_t line = chunk.line; !rest.empty(); ++line) {
      const auto end = rest.find('\n');
      std::string_view row = rest.substr(0, end);
      const auto at = static_cast<std::size_t>(row.data() - chunk.text.data());
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const Row read = read_row(row, field);
      if (read.good)
        take(Document{read.text, true, at});
      else
        bad(BadRow{line, chunk.offset + static_cast<std::int64_t>(at), read.text});
    }
    return;
  }
  const auto checked = [&](const Document& document) {
    if (const auto fault = first_utf8_fault(document.text)) {
      const std::size_t at = document.at + *fault;
      const auto offset = chunk.offset + static_cast<std::int64_t>(at);
      bad(BadRow{line_of(chunk, at), offset, "it is not UTF-8 at offset " + std::to_string(offset)});
    } else {
      take(document);
    }
  };
  while (!rest.empty()) {
    std::size_t end, next;
    bool ends;
    if (!separator.empty()) {
      const auto at = rest.find(separator);
      ends = at != std::string_view::npos || chunk.ends_document;
      end = std::min(at, rest.size());
      next = at == std::string_view::npos ? rest.size() : at + separator.size();
    } else {
      end = next = document::part_end(rest);
      ends = end == rest.size() && chunk.ends_document;
    }
    checked(Document{rest.substr(0, end), ends, static_cast<std::size_t>(rest.data() - chunk.text.data())});
    rest.remove_prefix(next);
  }
}

}  // namespace tinygpt::prepare

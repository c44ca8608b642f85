// How an input begins: whether it is text, and whether that is prose or rows of JSON.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

#include <tinygpt/data/file_kind.hpp>
#include <tinygpt/prepare/input_stream.hpp>
#include <tinygpt/prepare/json_row.hpp>

namespace tinygpt::prepare {

enum class Layout { text, jsonl };

namespace file_look {

/// What the end of a file's name says of it; a suffix of compression before that does not count.
enum class NamedAs { text, rows, json, nothing };

inline NamedAs named_as(std::filesystem::path path) {
  const auto suffix = [&] {
    std::string s = path.extension().string();
    std::transform(s.begin(), s.end(), s.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    return s;
  };
  const auto is_one_of = [&](const auto&... each) { return ((suffix() == each) || ...); };
  if (is_one_of(".gz", ".gzip", ".zst", ".zstd")) path.replace_extension();
  if (is_one_of(".jsonl", ".ndjson", ".jsonlines", ".ldjson", ".jl")) return NamedAs::rows;
  if (is_one_of(".json")) return NamedAs::json;
  // Names such as part-00000 and rows.jsonl.1 say nothing.
  return suffix().find_first_not_of(".0123456789") == std::string::npos ? NamedAs::nothing : NamedAs::text;
}

/// What JSON a text begins with.
enum class Begins { empty, rows, array, document, other };

/// `whole`: the text ends where `text` does.
inline Begins json_beginning(std::string_view text, bool whole) {
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return Begins::empty;
  text.remove_prefix(first);
  if (text.front() == '[') return Begins::array;
  if (text.front() != '{') return Begins::other;
  const auto end = text.find('\n');
  // A row that is longer than what was looked at is one all the same: a document of many lines has short ones.
  if (end == std::string_view::npos && !whole) return Begins::rows;
  return is_json_object(text.substr(0, end)) ? Begins::rows : Begins::document;
}

}  // namespace file_look

/// What a look at the first bytes of a file shows.
struct FileLook {
  std::int64_t bytes = 0;  ///< of the file
  Layout layout = Layout::text;
  std::string refusal;        ///< why it cannot be read; empty where it can
  bool is_text = false;       ///< it holds text, but it cannot be read as it is
  bool rows_as_text = false;  ///< it holds rows of JSON, but its name says that it is plain text
};

/// JSONL by its name alone, a compressed one too; anything else is plain text.
inline Layout layout_of(const std::filesystem::path& path) {
  return file_look::named_as(path) == file_look::NamedAs::rows ? Layout::jsonl : Layout::text;
}

/// Throws where the file cannot be opened; what is damaged in it shows when it is read.
inline FileLook look_at(const std::filesystem::path& path) {
  using namespace file_look;
  FileLook look;
  look.layout = layout_of(path);
  InputStream stream(path, std::size_t{1} << 14);
  look.bytes = stream.file_bytes();
  std::string begin(file_kind::enough_bytes, '\0');
  bool whole = false;
  try {
    begin.resize(stream.read(begin));
    whole = begin.size() < file_kind::enough_bytes;
    // Rows are told from a document by their first line.
    if (!whole && begin.find('\n') == std::string::npos && json_beginning(begin, false) == Begins::rows) {
      constexpr std::size_t most = std::size_t{1} << 16;
      const std::size_t had = begin.size();
      begin.resize(most);
      begin.resize(had + stream.read(std::span(begin).subspan(had)));
      whole = begin.size() < most;
    }
  } catch (const DamagedFile&) {
    return look;
  }
  if (const auto kind = kind_of(begin)) {
    look.refusal = kind->sentence();
    look.is_text = kind->how == FileKind::How::other_encoding;
    return look;
  }
  const NamedAs name = named_as(path);
  if (name == NamedAs::rows) return look;
  const Begins json = json_beginning(begin, whole);
  if (json == Begins::rows) {
    if (name == NamedAs::text)
      look.rows_as_text = true;
    else
      look.layout = Layout::jsonl;
  } else if (name == NamedAs::json && json == Begins::array) {
    look.refusal = "it is a JSON array, not JSON Lines: make rows of it with jq -c '.[]' in.json > out.jsonl";
  } else if (name == NamedAs::json && json == Begins::document) {
    look.refusal = "it is one JSON document, not JSON Lines: make rows of it with jq -c . in.json > out.jsonl";
  } else if (name == NamedAs::json && json == Begins::other) {
    look.refusal = "it is not JSON Lines: end its name in .txt if it is plain text";
  }
  return look;
}

}  // namespace tinygpt::prepare

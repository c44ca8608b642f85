// A source: a name for some files, given by patterns.
#pragma once

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/io/file.hpp>

namespace tinygpt::prepare {

enum class Layout { text, jsonl };

struct Input {
  std::filesystem::path path;
  std::int64_t bytes = 0;
  Layout layout = Layout::text;
};

struct Source {
  std::string name;
  std::vector<std::string> patterns;
  double weight = 0;  ///< 0: not given
  std::vector<Input> inputs;
};

/// JSONL by its name, a compressed one too; anything else is plain text.
inline Layout layout_of(std::filesystem::path path) {
  if (path.extension() == ".gz" || path.extension() == ".zst") path.replace_extension();
  return path.extension() == ".jsonl" || path.extension() == ".ndjson" ? Layout::jsonl : Layout::text;
}

/// The regular files that a pattern means, in the order of their names: a folder means all files below it but hidden
/// ones.
inline std::vector<std::filesystem::path> files_of(const std::string& pattern) {
  glob_t found{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> owner(&found, ::globfree);
  const int status = ::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found);
  if (status == GLOB_NOSPACE) throw std::bad_alloc();
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) {
    const std::filesystem::path path(found.gl_pathv[i]);
    if (!std::filesystem::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    for (auto at = std::filesystem::recursive_directory_iterator(path, error);
         at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
      const bool hidden = at->path().filename().string().starts_with(".");
      if (hidden && at->is_directory(error)) at.disable_recursion_pending();
      if (!hidden && at->is_regular_file(error)) files.push_back(at->path());
    }
    if (error) throw file_error("read the folder", path, error.value());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// "NAME:GLOB[,GLOB]" with the files that are there now. Throws Error where the text or a pattern means nothing.
inline Source parse_source(const std::string& text) {
  const auto colon = text.find(':');
  Source source{text.substr(0, colon), {}, 0, {}};
  const bool plain = !source.name.empty() &&
                     source.name.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == std::string::npos;
  if (colon == std::string::npos || colon + 1 == text.size() || !plain || source.name.front() == '.') {
    throw Error("--source must be NAME:GLOB[,GLOB], such as bible:texts/*.txt, not '" + printable(text) + "'");
  }
  for (std::size_t begin = colon + 1; begin <= text.size();) {
    // A comma in braces belongs to the pattern.
    std::size_t end = begin;
    for (int depth = 0; end < text.size() && (text[end] != ',' || depth > 0); ++end) {
      depth += (text[end] == '{') - (text[end] == '}');
    }
    if (end > begin) source.patterns.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const std::string& pattern : source.patterns) {
    const auto files = files_of(pattern);
    if (files.empty()) {
      throw Error("source " + source.name + ": no file matches " + printable(pattern) +
                  ": check the path, and quote it so that the shell leaves it alone");
    }
    for (const auto& path : files) {
      const auto same = [&](const Input& input) { return input.path == path; };
      if (std::any_of(source.inputs.begin(), source.inputs.end(), same)) continue;  // two patterns may mean one file
      std::error_code error;
      const auto size = std::filesystem::file_size(path, error);
      if (error) throw file_error("read", path, error.value());
      source.inputs.push_back({path, static_cast<std::int64_t>(size), layout_of(path)});
    }
  }
  return source;
}

}  // namespace tinygpt::prepare

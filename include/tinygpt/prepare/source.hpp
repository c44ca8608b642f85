// A source: a name for some files, given by patterns.
#pragma once

#include <fnmatch.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/prepare/file_look.hpp>

namespace tinygpt::prepare {

struct Input {
  std::filesystem::path path;
  std::int64_t bytes = 0;
  Layout layout = Layout::text;
};

/// A file that a source names and that is not read, and why.
struct PassedOver {
  std::filesystem::path path;
  std::string why;
};

struct Source {
  std::string name;
  std::vector<std::string> patterns;
  double weight = 0;  ///< 0: not given
  std::vector<Input> inputs;
  std::vector<PassedOver> passed_over{};
  std::vector<std::filesystem::path> rows_as_text{};  ///< files of rows whose names say that they are plain text
  std::int64_t excluded = 0;                          ///< files that --exclude left out
};

/// Which of the files that a pattern means are read.
struct InputRules {
  std::vector<std::string> exclude;  ///< patterns of names or whole paths
  bool skip_bad = false;             ///< pass over what cannot be read, also where it was named
};

/// A source is written wrongly; nothing has been looked for.
class SourceSyntax : public Error {
 public:
  using Error::Error;
};

/// The files that a pattern means, in the order of their names: a folder means all regular files below it but hidden
/// ones. The name of a file means that file, whatever else it may mean as a pattern.
inline std::vector<std::filesystem::path> files_of(const std::string& pattern) {
  std::error_code error;
  if (std::filesystem::is_regular_file(pattern, error)) return {pattern};
  glob_t found{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> owner(&found, ::globfree);
  const int status = ::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found);
  if (status == GLOB_NOSPACE) throw std::bad_alloc();
  std::vector<std::filesystem::path> files;
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

/// Does one of some patterns mean this file, by its name or by its path?
inline bool matches_any(const std::filesystem::path& path, const std::vector<std::string>& patterns) {
  const std::string name = path.filename().string();
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0 || ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
  });
}

/// Finds the files of a source's patterns, each once, and looks at how each begins. A file that is no text is passed
/// over where a folder or a pattern means it, and an error where it was named itself.
inline void find_inputs(Source& source, const InputRules& rules = {}) {
  std::unordered_set<std::string> seen;
  for (const std::string& pattern : source.patterns) {
    const auto files = files_of(pattern);
    if (files.empty()) {
      throw Error("source " + source.name + ": no file matches " + printable(pattern) +
                  ": check the path, and quote it so that the shell leaves it alone");
    }
    for (const auto& path : files) {
      if (!seen.insert(path.string()).second) continue;  // two patterns may mean one file
      if (matches_any(path, rules.exclude)) {
        ++source.excluded;
        continue;
      }
      const FileLook look = look_at(path);
      if (!look.refusal.empty()) {
        const bool named = path == std::filesystem::path(pattern);
        if (!rules.skip_bad && (named || look.is_text)) {
          throw Error("cannot read " + path.string() + " as text: " + look.refusal +
                      ", or leave such files out with --skip-bad or --exclude");
        }
        source.passed_over.push_back({path, look.refusal});
        continue;
      }
      if (look.rows_as_text) source.rows_as_text.push_back(path);
      source.inputs.push_back({path, look.bytes, look.layout});
    }
  }
  if (source.inputs.empty()) {
    throw Error("source " + source.name + " has no file to read: " +
                (source.passed_over.empty()
                     ? std::string("--exclude leaves all of them out: check it")
                     : source.passed_over.front().path.string() + ": " + source.passed_over.front().why));
  }
}

namespace source {

/// A name for what has none: that of the file or folder, of a pattern that of its folder.
inline std::string name_for(const std::string& pattern) {
  std::filesystem::path path = std::filesystem::path(pattern).lexically_normal();
  if (path == "." || path.filename() == ".." || !path.has_filename()) {
    std::error_code error;
    path = std::filesystem::weakly_canonical(path, error);
  }
  while (path.has_parent_path() && path.string().find_first_of("*?[{") != std::string::npos &&
         path != path.parent_path()) {
    path = path.parent_path();
  }
  std::error_code error;
  if (!path.has_filename()) path = path.parent_path();
  std::string name = path.filename().string();
  if (!std::filesystem::is_directory(path, error)) name = name.substr(0, name.find('.', 1));
  for (char& c : name) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.';
    if (!plain) c = '_';
  }
  if (!name.empty() && name.front() == '.') name.front() = '_';
  return name.empty() ? "text" : name;
}

/// The patterns of a list with commas; a comma in braces belongs to the pattern.
inline std::vector<std::string> patterns_of(std::string_view text) {
  std::vector<std::string> patterns;
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t end = begin;
    for (int depth = 0; end < text.size() && (text[end] != ',' || depth > 0); ++end) {
      depth += (text[end] == '{') - (text[end] == '}');
    }
    if (end > begin) patterns.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return patterns;
}

}  // namespace source

/// "NAME:GLOB[,GLOB]", or a file, folder or pattern alone, which gives the source its name; with the files that are
/// there now. Throws SourceSyntax where the text means nothing, Error where a pattern does not.
inline Source parse_source(const std::string& text, const InputRules& rules = {}) {
  std::error_code error;
  const auto colon = text.find(':');
  Source source{text.substr(0, colon), {}, 0, {}};
  const bool plain = !source.name.empty() && source.name.front() != '.' &&
                     source.name.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == std::string::npos;
  if (!text.empty() && (colon == std::string::npos || (!plain && std::filesystem::exists(text, error)))) {
    source.name = source::name_for(text);
    source.patterns = std::filesystem::exists(text, error) ? std::vector{text} : source::patterns_of(text);
  } else if (colon == std::string::npos || colon + 1 == text.size() || !plain) {
    throw SourceSyntax("--source must be a file or folder, or NAME:GLOB[,GLOB], such as bible:texts/*.txt, not '" +
                       printable(text) + "'");
  } else {
    source.patterns = source::patterns_of(std::string_view(text).substr(colon + 1));
  }
  if (source.patterns.empty()) throw SourceSyntax("--source " + printable(text) + " names no file: see --help");
  find_inputs(source, rules);
  return source;
}

}  // namespace tinygpt::prepare

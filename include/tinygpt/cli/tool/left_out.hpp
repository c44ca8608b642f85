// What was left out of the inputs of a command, by name: the first few, and how many more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tinygpt/cli/flags.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/prepare/source.hpp>

namespace tinygpt::cli::tool {

inline constexpr std::size_t most_named = 5;

/// "a; b and 3 more", of `count` things of which the first few are named.
inline std::string named_text(const std::vector<std::string>& names, std::int64_t count) {
  std::string text;
  std::size_t shown = 0;
  for (; shown < names.size() && shown < most_named; ++shown) text += (shown == 0 ? "" : "; ") + one_line(names[shown]);
  const std::int64_t more = count - static_cast<std::int64_t>(shown);
  return text + (more > 0 ? (shown > 0 ? " and " : "") + grouped(more) + " more" : "");
}

/// Remarks on the files of a source that were not read, or perhaps not as they were meant.
inline std::vector<std::string> file_remarks(const std::string& name,
                                             const std::vector<prepare::PassedOver>& passed_over,
                                             const std::vector<std::filesystem::path>& rows_as_text) {
  std::vector<std::string> remarks, names;
  const auto count_text = [](std::size_t n) {
    return grouped(static_cast<std::int64_t>(n)) + (n == 1 ? " file" : " files");
  };
  for (const auto& file : passed_over) names.push_back(file.path.string() + " (" + file.why + ")");
  if (!names.empty()) {
    remarks.push_back("passed over in " + name + ": " + count_text(names.size()) + ": " +
                      named_text(names, static_cast<std::int64_t>(names.size())));
  }
  names.clear();
  for (const auto& path : rows_as_text) names.push_back(path.string());
  if (!names.empty()) {
    remarks.push_back(name + " has " + count_text(names.size()) +
                      " of JSON Lines that were read as plain text, as their names say: " +
                      named_text(names, static_cast<std::int64_t>(names.size())) +
                      ": end their names in .jsonl to take the text out of the rows");
  }
  return remarks;
}

/// Adds --exclude.
inline void add_exclude(CLI::App& app, std::vector<std::string>& patterns) {
  app.add_option("--exclude", patterns, "Leave out files whose name or path matches, such as '*.html'; repeatable")
      ->type_name("GLOB")
      ->allow_extra_args(false);
}

}  // namespace tinygpt::cli::tool

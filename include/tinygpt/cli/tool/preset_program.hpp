// tinygpt PRESET COMMAND ...: becomes the program of that preset, as git becomes git-something.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/recipe.hpp>
#include <tinygpt/io/file.hpp>

namespace tinygpt::cli::tool {

/// Becomes another program: `called` is what it takes for its own name. Returns only where there is no such file.
inline void become(const std::filesystem::path& program, std::string called, std::vector<std::string> words) {
  std::vector<char*> arguments{called.data()};
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::fflush(stdout);
  ::execv(program.c_str(), arguments.data());
  if (errno != ENOENT) throw file_error("run", program, errno);
}

/// The program of a preset where it is built, beside this one.
inline std::filesystem::path preset_program(std::string_view name) {
  return program_directory() / ("tinygpt-" + std::string(name));
}

/// Becomes the program of that name, where one lies beside this one.
inline void become_preset(const std::string& name, std::vector<std::string> words) {
  if (name.empty() || name.find('/') != std::string::npos) return;
  const auto program = preset_program(name);
  become(program, program.string(), std::move(words));
}

/// Throws what is wrong with a first word that is neither one of the commands nor a preset.
[[noreturn]] inline void refuse_word(const std::string& word, std::vector<std::string> commands) {
  for (const auto& preset : preset_names()) commands.push_back(preset);
  throw UsageError("'" + printable(word) + "' is no command and no preset" +
                   did_you_mean(word, commands, "tinygpt help shows the commands, tinygpt presets the presets"));
}

}  // namespace tinygpt::cli::tool

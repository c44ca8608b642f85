// tinygpt PRESET COMMAND ...: becomes the program of that preset, as git becomes git-something.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/io/file.hpp>

namespace tinygpt::cli::tool {

/// Where this program lies.
inline std::filesystem::path program_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

/// The build directory of this program, as it is reached from here; the usual one where there is none.
inline std::string build_directory() {
  std::error_code error;
  const auto here = std::filesystem::current_path(error);
  for (auto at = program_directory(); !at.empty() && at != at.root_path(); at = at.parent_path()) {
    if (!std::filesystem::exists(at / "CMakeCache.txt", error)) continue;
    const auto near = at.lexically_proximate(here).string();
    return near.starts_with("..") ? at.string() : near;
  }
  return "build/release";
}

/// Only returns by throwing.
[[noreturn]] inline void become_preset(const std::string& name, const std::vector<std::string>& commands, char** argv) {
  const auto program = program_directory() / ("tinygpt-" + name);
  if (name.find('/') == std::string::npos) {
    std::string path = program.string();
    std::vector<char*> arguments{path.data()};
    for (char** argument = argv + 2; *argument != nullptr; ++argument) arguments.push_back(*argument);
    arguments.push_back(nullptr);
    ::execv(path.c_str(), arguments.data());
    if (errno != ENOENT) throw file_error("run", program, errno);
  }
  if (presets::find(name)) {
    throw Error(program.string() + " is not built yet: cmake --build " + build_directory() + " --target tinygpt-" +
                name);
  }
  std::vector<std::string> choices = commands;
  for (const auto& preset : preset_names()) choices.push_back(preset);
  throw UsageError("'" + printable(name) + "' is no command and no preset" +
                   did_you_mean(name, choices, "see --help, and tinygpt presets for all presets"));
}

}  // namespace tinygpt::cli::tool

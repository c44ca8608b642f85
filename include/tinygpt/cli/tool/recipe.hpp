// How this build compiles a model's program: what CMake has written down beside the tool, or where it was installed.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/io/file.hpp>
#include <tinygpt/io/json.hpp>

namespace tinygpt::cli::tool {

/// Where this program lies. A path that is not known is never completed by the current folder's.
inline std::filesystem::path program_directory() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error || !path.is_absolute()) {
    throw Error(
        "cannot find the folder of this program, as /proc is not mounted: mount it, or run the program of the "
        "model by its own path");
  }
  return path.parent_path();
}

/// FNV-1a: names that differ where what they stand for does.
inline std::string short_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

inline std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = text.find_first_not_of(" \t", at);
    if (begin == std::string_view::npos) break;
    at = std::min(text.find_first_of(" \t", begin), text.size());
    words.emplace_back(text.substr(begin, at - begin));
  }
  return words;
}

/// The instructions that this machine's processor has, as the system lists them.
inline std::string processor_text() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("flags") || line.starts_with("Features")) return line;
  }
  return "";
}

/// The file that a name means in PATH; empty where there is none that can be run.
inline std::filesystem::path in_path(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  const char* const variable = std::getenv("PATH");
  const std::string_view folders = variable == nullptr ? "/usr/bin:/bin" : variable;
  for (std::size_t at = 0; at <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', at), folders.size());
    const auto file = std::filesystem::path(folders.substr(at, end - at)) / name;
    std::error_code error;
    // An empty entry would be the current folder.
    if (file.is_absolute() && ::access(file.c_str(), X_OK) == 0 && !std::filesystem::is_directory(file, error)) {
      return file;
    }
    at = end + 1;
  }
  return "";
}

struct Recipe {
  std::filesystem::path sources;               ///< of tinygpt_cli.cpp and preset_main.cpp.in
  std::vector<std::filesystem::path> include;  ///< the library's headers and those of what it needs
  std::filesystem::path library;               ///< tinygpt-cli, compiled
  std::string compiler, compiler_version;      ///< that compiled it
  std::string flags, libraries, processor;
  std::string headers;  ///< a fingerprint of the library's own
  std::filesystem::file_time_type newest_header = std::filesystem::file_time_type::min();
};

namespace recipe {

/// Looks for what a package has put elsewhere than where it was when this was built.
inline void add_usual_folders(std::vector<std::filesystem::path>& include) {
  const char* const needed[][2] = {{"Eigen/Core", "libeigen3-dev"}, {"nlohmann/json.hpp", "nlohmann-json3-dev"}};
  const char* const usual[] = {"/usr/include", "/usr/include/eigen3", "/usr/local/include",
                               "/usr/local/include/eigen3"};
  std::error_code error;
  for (const auto& [header, package] : needed) {
    const auto has = [&, name = header](const std::filesystem::path& folder) {
      return std::filesystem::exists(folder / name, error);
    };
    if (std::any_of(include.begin(), include.end(), has)) continue;
    const auto* const found = std::find_if(std::begin(usual), std::end(usual), has);
    if (found == std::end(usual)) {
      throw Error("a model's program cannot be compiled, as the header " + std::string(header) +
                  " is missing: install it, on Debian with apt-get install " + package);
    }
    include.emplace_back(*found);
  }
  // The compiler looks there by itself; named, they would come before its own.
  std::erase_if(include, [](const auto& folder) { return folder == "/usr/include" || folder == "/usr/local/include"; });
}

/// Of the headers that a model's program is made of: names, sizes and times, which costs a millisecond.
inline void take_fingerprint(Recipe& recipe) {
  std::vector<std::string> files;
  for (const auto& folder : recipe.include) {
    std::error_code error;
    if (!std::filesystem::exists(folder / "tinygpt", error)) continue;
    for (std::filesystem::recursive_directory_iterator at(folder / "tinygpt", error), end; !error && at != end;
         at.increment(error)) {
      const std::string name = at->path().lexically_relative(folder).string();
      const bool unused = name == "tinygpt/cli/tool" || name == "tinygpt/prepare" || name == "tinygpt/gpu";
      if (unused) at.disable_recursion_pending();
      if (!at->is_regular_file(error)) continue;
      const auto time = at->last_write_time(error);
      recipe.newest_header = std::max(recipe.newest_header, time);
      files.push_back(name + " " + std::to_string(at->file_size(error)) + " " +
                      std::to_string(time.time_since_epoch().count()));
    }
  }
  std::sort(files.begin(), files.end());
  std::string all;
  for (const std::string& file : files) all += file + "\n";
  recipe.headers = short_hash(all);
}

}  // namespace recipe

/// Throws Error where this build has none.
inline Recipe read_recipe() {
  const auto here = program_directory();
  std::error_code error;
  auto file = here / "tinygpt-programs.json";
  if (!std::filesystem::exists(file, error)) file = here / "../share/cmake/tinygpt/tinygpt-programs.json";
  if (!std::filesystem::exists(file, error)) {
    throw Error("there is no " + file.lexically_normal().string() +
                ", which says how to compile a model's program: build or install tinygpt again");
  }
  const Json json = read_json(file);
  const auto text = [&](const char* name) { return member<std::string>(json, name, file); };
  const auto path = [&](const std::string& name) { return (file.parent_path() / name).lexically_normal(); };
  Recipe recipe;
  recipe.sources = path(text("sources"));
  recipe.library = path(text("library"));
  recipe.compiler = text("compiler");
  recipe.compiler_version = text("compiler_version");
  recipe.flags = text("flags");
  recipe.libraries = text("libraries");
  recipe.processor = text("processor");
  if (!json.contains("include") || !json["include"].is_array()) throw damaged(file, "'include' must be a list");
  for (const Json& folder : json["include"]) {
    const std::string name = folder.is_string() ? folder.get<std::string>() : "";
    if (!name.empty()) recipe.include.push_back(path(name));
  }
  recipe::add_usual_folders(recipe.include);
  recipe::take_fingerprint(recipe);
  return recipe;
}

/// A compiler that is here, and how it is called: what $CXX says, the one that compiled the tool, or a usual one.
struct Compiler {
  std::vector<std::string> command;  ///< such as ccache g++; empty where there is none
  std::string flags;                 ///< $CXXFLAGS come last
};

inline Compiler find_compiler(const Recipe& recipe) {
  const char* const more = std::getenv("CXXFLAGS");
  const std::string flags = recipe.flags + (more != nullptr && *more != '\0' ? " " + std::string(more) : "");
  if (const char* const named = std::getenv("CXX"); named != nullptr && *named != '\0') {
    Compiler compiler{split_words(named), flags};
    const auto file = compiler.command.empty() ? "" : in_path(compiler.command[0]);
    if (file.empty()) {
      throw Error("CXX names the compiler '" + std::string(named) + "', which is not there: correct it, or unset CXX");
    }
    compiler.command[0] = file.string();
    return compiler;
  }
  for (const std::string& name : {recipe.compiler, std::string("c++"), std::string("g++"), std::string("clang++")}) {
    if (const auto file = in_path(name); !file.empty()) return {{file.string()}, flags};
  }
  return {{}, flags};
}

}  // namespace tinygpt::cli::tool

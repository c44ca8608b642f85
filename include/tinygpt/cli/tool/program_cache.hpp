// The programs of models that were compiled here, each in a folder of its own that is named after everything it was
// made of: PROGRAMS/<type, version, headers, processor>-<compiler, flags>-<name, training defaults>/.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/compile.hpp>
#include <tinygpt/cli/tool/config_from.hpp>
#include <tinygpt/cli/tool/new.hpp>
#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/json.hpp>
#include <tinygpt/macros.hpp>

namespace tinygpt::cli::tool {

/// A program that is wanted.
struct Wanted {
  Config config;
  std::string name;          ///< what it is called, in its messages and in what it saves
  TrainOptions defaults;     ///< of train
  bool any_defaults = true;  ///< would a program with other training defaults do?
};

/// Where they are kept. Throws Error where there is no such place.
inline std::filesystem::path programs_directory() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::filesystem::path(value != nullptr ? value : "");
  };
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "tinygpt" / "programs";
  if (const auto home = variable("HOME"); home.is_absolute()) return home / ".cache" / "tinygpt" / "programs";
  throw Error("there is no place for compiled programs, as HOME is not set: set XDG_CACHE_HOME to a folder");
}

/// A program in the cache.
struct CachedProgram {
  std::filesystem::path folder;
  std::string name, type;
  std::int64_t bytes = 0;
  std::filesystem::file_time_type used;  ///< last

  std::filesystem::path file() const { return folder / "tinygpt-model"; }
};

namespace program_cache {

/// How many are kept, and of what they share: those that were used last.
inline constexpr std::size_t most_kept = 32, most_libraries_kept = 4;

/// The whole programs, the last used first; half-made ones are none. Or the folders that hold a file of another name.
inline std::vector<CachedProgram> list(const std::filesystem::path& root, const char* holding = "tinygpt-model") {
  std::vector<CachedProgram> found;
  std::error_code error;
  for (std::filesystem::directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
    CachedProgram program{at->path(), {}, {}, 0, {}};
    std::error_code missing;
    program.bytes = static_cast<std::int64_t>(std::filesystem::file_size(program.folder / holding, missing));
    if (missing) continue;
    program.used = std::filesystem::last_write_time(program.folder, missing);
    try {
      const auto file = program.folder / "model.json";
      const Json about = read_json(file);
      program.name = member<std::string>(about, "name", file);
      program.type = member<std::string>(about, "type", file);
    } catch (const Error&) {
      program.name = program.type = "?";
    }
    found.push_back(std::move(program));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.used > b.used; });
  return found;
}

/// The lock of a program's folder, which is created; waits where somebody else has it.
inline Descriptor lock(const std::filesystem::path& folder, const std::string& type) {
  while (true) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw file_error("create", folder, error.value());
    Descriptor held(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!held && errno == ENOENT) continue;  // cleared since
    if (!held) throw file_error("open", folder, errno);
    if (::flock(held.get(), LOCK_EX | LOCK_NB) != 0) {
      WaitingLine line("waiting for another tinygpt, which is compiling " + type);
      while (::flock(held.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) throw file_error("lock", folder, errno);
        line.move();
        ::poll(nullptr, 0, 100);
      }
    }
    struct stat mine {
    }, there{};
    if (::fstat(held.get(), &mine) == 0 && ::stat(folder.c_str(), &there) == 0 && mine.st_ino == there.st_ino) {
      return held;
    }
  }
}

/// Removes a program, unless somebody is compiling it.
inline bool remove(const std::filesystem::path& folder) {
  const Descriptor held(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!held || ::flock(held.get(), LOCK_EX | LOCK_NB) != 0) return false;
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  return !error;
}

inline void replace(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

/// main() of a model, from the same template as CMake's.
inline std::string source_text(const Recipe& recipe, const Wanted& wanted) {
  std::string text = read_small_file(recipe.sources / "preset_main.cpp.in");
  for (const auto& [what, by] :
       std::vector<std::pair<std::string, std::string>>{{"@INCLUDE@", ""},
                                                        {"@DECLARATION@", ""},
                                                        {"@GPU@", ""},
                                                        {"@LABEL@", "{}"},
                                                        {"@TYPE@", type_text(wanted.config)},
                                                        {"@DEFAULTS@", defaults_text(wanted.defaults)},
                                                        {"@NAME@", program_name(wanted.name)}}) {
    replace(text, what, by);
  }
  return text;
}

}  // namespace program_cache

/// Finds programs among the compiled, and compiles those that are not.
class ProgramCache {
 public:
  ProgramCache() : root_(programs_directory()), recipe_(read_recipe()), compiler_(find_compiler(recipe_)) {
    if (compiler_.command.empty()) return;
    std::vector<std::string> ask = compiler_.command;
    ask.emplace_back("--version");
    const Outcome said = run_child(
        ask, "", [] {}, [] {});
    version_ = said.said.substr(0, said.said.find('\n'));
  }

  /// The program, compiled if need be. Throws Error where that cannot be.
  std::filesystem::path program(const Wanted& wanted) const {
    const std::string type = type_text(wanted.config);
    const std::string model =
        short_hash(type + "\n" + TINYGPT_VERSION + "\n" + recipe_.headers + "\n" + processor_text());
    const std::string made = model + "-" + made_by();
    const auto folder =
        root_ / (made + "-" + short_hash(wanted.name + "\n" + defaults_text(wanted.defaults)).substr(0, 8));
    if (const auto there = found(folder, wanted.any_defaults ? made : ""); !there.empty()) return there;
    if (compiler_.command.empty()) {
      // What another compiler has made is as good, where there is none to make it again.
      if (const auto there = found(folder, wanted.any_defaults ? model : ""); !there.empty()) return there;
      throw no_compiler("the program of " + type);
    }
    const Descriptor lock = program_cache::lock(folder, type);
    if (const auto there = found(folder, ""); !there.empty()) return there;
    compile(wanted, type, folder);
    for (const auto& old : surplus()) program_cache::remove(old);
    return folder / "tinygpt-model";
  }

  /// Throws the library's sentence about a type that its rules refuse.
  [[noreturn]] void refuse(const std::string& type) const {
    if (compiler_.command.empty()) throw no_compiler(type + ", which a rule of the library refuses,");
    std::vector<std::string> command = base_command();
    for (const char* const word : {"-fsyntax-only", "-x", "c++", "-"}) command.emplace_back(word);
    const Outcome outcome = run_child(
        command,
        "#include <tinygpt/config/resolve.hpp>\nusing namespace tinygpt;\ntemplate <class... Os> struct "
        "GPT { static_assert(config::valid<Os...>()); };\ntemplate struct " +
            type + ";\n",
        [] {}, [] {});
    if (outcome.status != 0) throw_complaint(outcome, "");
    throw Error("the sizes of " + type + " are too large together: make some of them smaller");
  }

 private:
  static Error no_compiler(const std::string& what) {
    return Error(what +
                 " must be compiled once, and there is no C++ compiler here: install one, on Debian with apt-get "
                 "install g++ libeigen3-dev nlohmann-json3-dev libcli11-dev");
  }

  std::string made_by() const {
    std::string words;
    for (const std::string& word : compiler_.command) words += word + "\n";
    return short_hash(words + version_ + "\n" + compiler_.flags);
  }

  /// The program in this folder, or in one whose name begins with `otherwise`, unless that is empty.
  std::filesystem::path found(const std::filesystem::path& folder, const std::string& otherwise) const {
    const auto use = [](const std::filesystem::path& at) {
      ::utimensat(AT_FDCWD, at.c_str(), nullptr, 0);  // used last now
      return at / "tinygpt-model";
    };
    if (::access((folder / "tinygpt-model").c_str(), X_OK) == 0) return use(folder);
    if (otherwise.empty()) return "";
    for (const CachedProgram& program : program_cache::list(root_)) {
      const bool same = program.folder.filename().string().starts_with(otherwise + "-");
      if (same && ::access(program.file().c_str(), X_OK) == 0) return use(program.folder);
    }
    return "";
  }

  std::vector<std::filesystem::path> surplus() const {
    std::vector<std::filesystem::path> folders;
    for (const auto& [kind, most] : {std::pair("tinygpt-model", program_cache::most_kept),
                                     std::pair("tinygpt-cli.o", program_cache::most_libraries_kept)}) {
      const auto all = program_cache::list(root_, kind);
      for (std::size_t i = most; i < all.size(); ++i) folders.push_back(all[i].folder);
    }
    return folders;
  }

  std::vector<std::string> base_command() const {
    std::vector<std::string> command = compiler_.command;
    command.emplace_back("-std=gnu++20");
    for (const std::string& flag : split_words(compiler_.flags)) command.push_back(flag);
    for (const auto& folder : recipe_.include) command.push_back("-I" + folder.string());
    return command;
  }

  /// Runs the compiler for a file that appears at its name whole, or not at all.
  void make(std::vector<std::string> command, const std::filesystem::path& file, const std::string& what) const {
    const auto folder = file.parent_path();
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      // Half-made by a process that was killed: the folder is locked, so nobody is at work on it.
      if (entry.path().filename().string().find(".tmp-") != std::string::npos) std::filesystem::remove(entry, error);
    }
    const auto temporary = std::filesystem::path(file).concat(".tmp-" + std::to_string(::getpid()));
    const auto log = folder / "compiler.log";
    command.insert(command.end(), {"-o", temporary.string()});
    WaitingLine line(what);
    const Outcome outcome = run_child(
        command, "", [&] { line.move(); }, [&] { ::unlink(temporary.c_str()); });
    if (outcome.status != 0) {
      ::unlink(temporary.c_str());
      std::string all;
      for (const std::string& word : command) all += shell_quoted(word) + " ";
      write_file_atomically(log, all + "\n" + outcome.said);
      throw_complaint(outcome, log);
    }
    std::filesystem::remove(log, error);
    if (::rename(temporary.c_str(), file.c_str()) != 0) throw file_error("create", file, errno);
  }

  void compile(const Wanted& wanted, const std::string& type, const std::filesystem::path& folder) const {
    const auto source = folder / "main.cpp";
    write_file_atomically(source, program_cache::source_text(recipe_, wanted));
    write_file_atomically(folder / "model.json", Json{{"name", wanted.name}, {"type", type}}.dump() + "\n");
    std::vector<std::string> command = base_command();
    command.insert(command.end(), {"-DTINYGPT_CLI_COMPILED", source.string(), library().string()});
    for (const std::string& word : split_words(recipe_.libraries)) command.push_back(word);
    make(std::move(command), folder / "tinygpt-model", "compiling " + type + " once, which takes some 20 s");
  }

  /// What all models' programs have in common. That of the build fits where all was compiled alike, or else it is
  /// compiled here.
  std::filesystem::path library() const {
    std::error_code error;
    const auto time = std::filesystem::last_write_time(recipe_.library, error);
    const bool native = recipe_.flags.find("native") != std::string::npos;
    if (!error && time >= recipe_.newest_header && compiler_.flags == recipe_.flags && compiler_.command.size() == 1 &&
        version_ == recipe_.compiler_version && (!native || processor_text() == recipe_.processor)) {
      return recipe_.library;
    }
    const auto folder =
        root_ /
        ("library-" + short_hash(std::string(TINYGPT_VERSION) + recipe_.headers + processor_text()) + "-" + made_by());
    const auto file = folder / "tinygpt-cli.o";
    const Descriptor lock = program_cache::lock(folder, "what all models' programs share");
    if (std::filesystem::exists(file, error)) {
      ::utimensat(AT_FDCWD, folder.c_str(), nullptr, 0);
      return file;
    }
    std::vector<std::string> command = base_command();
    command.insert(command.end(), {"-c", (recipe_.sources / "tinygpt_cli.cpp").string()});
    make(std::move(command), file, "compiling what all models' programs share once, which takes some 60 s");
    return file;
  }

  std::filesystem::path root_;
  Recipe recipe_;
  Compiler compiler_;
  std::string version_;  ///< the first line of what the compiler says of itself
};

// tinygpt programs: what was compiled.

struct ProgramsFlags {
  static constexpr const char *command = "programs",
                              *about = "List the models' programs that were compiled, or remove them";
  bool clear = false, json = false;
};

inline void add_flags(CLI::App& app, ProgramsFlags& flags) {
  app.add_flag("--clear", flags.clear, "Remove them all; one that is needed again is compiled again");
  app.add_flag("--json", flags.json, "Print JSON");
}

inline Exit run(const ProgramsFlags& flags) {
  const auto root = programs_directory();
  const auto programs = program_cache::list(root);
  if (flags.clear) {
    std::error_code error;
    std::size_t busy = 0;
    for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
      busy += entry.is_directory(error) && !program_cache::remove(entry.path()) ? 1 : 0;
    }
    std::printf("removed %zu programs%s\n", programs.size(),
                busy > 0 ? format("; %zu are being compiled and stay", busy).c_str() : "");
    return Exit::done;
  }
  std::int64_t bytes = 0;
  Report report = Report::array();
  std::vector<std::vector<std::string>> rows{{"name", "size", "type"}};
  for (const CachedProgram& program : programs) {
    bytes += program.bytes;
    report.push_back({{"name", program.name},
                      {"type", program.type},
                      {"bytes", program.bytes},
                      {"program", program.file().string()}});
    rows.push_back({one_line(program.name), size_text(program.bytes), one_line(program.type)});
  }
  if (flags.json) return print(report);
  if (!programs.empty()) std::fputs(table_text(rows, "lrl").c_str(), stdout);
  std::printf("%zu programs with %s in %s, of which the %zu that were used last are kept\n", programs.size(),
              size_text(bytes).c_str(), one_line(root.string()).c_str(), program_cache::most_kept);
  return Exit::done;
}

}  // namespace tinygpt::cli::tool

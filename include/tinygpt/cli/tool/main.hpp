// The program tinygpt: questions that need no particular model's type, and the way to the programs that do.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <tinygpt/cli/process.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/tool/config_from.hpp>
#include <tinygpt/cli/tool/data.hpp>
#include <tinygpt/cli/tool/fit.hpp>
#include <tinygpt/cli/tool/model_program.hpp>
#include <tinygpt/cli/tool/new.hpp>
#include <tinygpt/cli/tool/params.hpp>
#include <tinygpt/cli/tool/prepare.hpp>
#include <tinygpt/cli/tool/preset_program.hpp>
#include <tinygpt/cli/tool/presets.hpp>
#include <tinygpt/cli/tool/program_cache.hpp>
#include <tinygpt/cli/tool/tokenizer.hpp>
#include <tinygpt/cli/tool/validate.hpp>

namespace tinygpt::cli::tool {

/// What each command was told; a command is what is here.
using Commands = std::tuple<PresetsFlags, ParamsFlags, FitFlags, ValidateFlags, NewFlags, TokenizerFlags, PrepareFlags,
                            DataFlags, ConfigFromFlags, ExportFlags, ImportFlags, ProgramsFlags>;

inline std::vector<std::string> command_names() {
  return std::apply([](const auto&... each) { return std::vector<std::string>{each.command...}; }, Commands());
}

/// help and version are words too; help COMMAND is COMMAND --help.
inline std::vector<std::string> without_help(std::vector<std::string> words) {
  if (words.empty()) return words;
  if (words[0] == "version") words[0] = "--version";
  if (words[0] != "help") return words;
  words.erase(words.begin());
  words.emplace_back("--help");
  return words;
}

inline Exit dispatch(int argc, char** argv) {
  const auto words = without_help(normalised(argc, argv));
  const std::string first = words.empty() ? "--help" : words[0];
  auto names = command_names();
  const bool own = first.starts_with("-") || std::find(names.begin(), names.end(), first) != names.end();
  if (is_model_command(first)) become_model(words, argv[0]);
  for (const ModelCommand& command : model_commands) names.emplace_back(command.name);
  if (!own) {
    const std::vector<std::string> rest(words.begin() + 1, words.end());
    become_preset(first, rest);
    if (presets::find(first)) become_model_of(first, rest, argv[0]);
    refuse_word(first, names);
  }
  CLI::App app("Plan, prepare, train and run small GPTs", "tinygpt");
  app.footer(
      "A command of a model finds the program of its type, or compiles it once, in some 20 s.\n"
      "tinygpt PRESET COMMAND ... is tinygpt COMMAND --preset PRESET ..., such as tinygpt tiny_char train --help.\n"
      "Exit codes: 0 done, 1 it failed, 2 the command line is wrong, 3 not enough memory, 5 the disk is full.");
  for (const ModelCommand& command : model_commands) app.add_subcommand(command.name, command.about);

  Commands commands;
  std::vector<CLI::App*> apps;
  const auto add = [&](auto& flags) {
    apps.push_back(app.add_subcommand(flags.command, flags.about));
    add_flags(*apps.back(), flags);
  };
  std::apply([&](auto&... each) { (add(each), ...); }, commands);
  if (!parse(app, words)) return Exit::done;

  std::optional<Exit> exit;
  auto typed = apps.begin();
  const auto run_one = [&](auto& flags) {
    if ((*typed++)->parsed()) exit = run(flags);
  };
  std::apply([&](auto&... each) { (run_one(each), ...); }, commands);
  if (exit) return *exit;
  std::string choices;
  for (std::size_t i = 0; i < names.size(); ++i)
    choices += (i == 0 ? "" : i + 1 < names.size() ? ", " : " or ") + names[i];
  throw UsageError("a command is missing: write " + choices + ", or --help");
}

/// The whole program.
inline int main(int argc, char** argv) {
  return run_program("tinygpt", [&] { return dispatch(argc, argv); });
}

}  // namespace tinygpt::cli::tool

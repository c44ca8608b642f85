// The program tinygpt: questions that need no particular model's type, and the way to the programs that do.
#pragma once

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/tool/fit.hpp>
#include <tinygpt/cli/tool/new.hpp>
#include <tinygpt/cli/tool/params.hpp>
#include <tinygpt/cli/tool/prepare.hpp>
#include <tinygpt/cli/tool/preset_program.hpp>
#include <tinygpt/cli/tool/presets.hpp>
#include <tinygpt/cli/tool/tokenizer.hpp>
#include <tinygpt/cli/tool/validate.hpp>

namespace tinygpt::cli::tool {

inline const std::vector<std::string> command_names{"presets", "params",  "fit",      "validate",
                                                    "new",     "prepare", "tokenizer"};

inline Exit dispatch(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (!first.empty() && first[0] != '-' &&
      std::find(command_names.begin(), command_names.end(), first) == command_names.end()) {
    become_preset(first, command_names, argv);
  }
  CLI::App app("Which model, and will it fit?", "tinygpt");
  app.footer(
      "tinygpt PRESET COMMAND ... runs tinygpt-PRESET COMMAND ..., such as tinygpt tiny_char train --help.\n"
      "Exit codes: 0 done, 1 it failed, 2 the command line is wrong.");

  std::tuple<PresetsFlags, ParamsFlags, FitFlags, ValidateFlags, NewFlags, PrepareFlags, TokenizerFlags> flags;
  const char* const about[] = {"List the presets, or show one in full",
                               "Count the parameters of a model, part by part",
                               "Say which presets train in how much memory",
                               "Find every mistake in a JSON config",
                               "Turn a JSON config into a C++ header",
                               "Turn text into a dataset to train on",
                               "Learn a tokenizer; turn text into tokens and back"};
  std::vector<CLI::App*> commands;
  std::apply(
      [&](auto&... each) {
        const auto add = [&](auto& f) {
          const std::size_t i = commands.size();
          commands.push_back(app.add_subcommand(command_names[i], about[i]));
          add_flags(*commands.back(), f);
        };
        (add(each), ...);
      },
      flags);
  if (!parse(app, normalised(argc, argv))) return Exit::done;

  Exit exit = Exit::wrong_command_line;
  std::size_t i = 0;
  bool found = false;
  const auto run_one = [&](auto& f) {
    if (!commands[i++]->parsed()) return;
    found = true;
    exit = run(f);
  };
  std::apply([&](auto&... each) { (run_one(each), ...); }, flags);
  if (!found)
    throw UsageError(
        "a command is missing: write presets, params, fit, validate, new, prepare or tokenizer, or --help");
  return exit;
}

/// The whole program.
inline int main(int argc, char** argv) {
  const auto complain = [](std::string_view sentence) {
    std::fflush(stdout);
    std::fprintf(stderr, "tinygpt: %s\n", one_line(sentence).c_str());
  };
  try {
    return static_cast<int>(dispatch(argc, argv));
  } catch (const UsageError& error) {
    complain(error.what());
    return static_cast<int>(Exit::wrong_command_line);
  } catch (const std::exception& error) {
    complain(error.what());
    return static_cast<int>(Exit::failed);
  }
}

}  // namespace tinygpt::cli::tool

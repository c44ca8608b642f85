// The program of a preset: one main() for all of them.
//
//   int main(int argc, char** argv) {
//     return tinygpt::cli::main<Model>("my_model", {.batch_size = 8, .learning_rate = 3e-4}, argc, argv);
//   }
#pragma once

#include <new>
#include <string>
#include <string_view>

#include <tinygpt/cli/flags.hpp>
#include <tinygpt/cli/generate.hpp>
#include <tinygpt/cli/info.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/train.hpp>
#include <tinygpt/macros.hpp>

namespace tinygpt::cli {

/// What depends on the model's type.
struct Commands {
  const Config& config;
  Exit (*train)(const Program&, const TrainFlags&);
  Exit (*generate)(const Program&, const GenerateFlags&);
};

/// Parses and runs; throws what goes wrong.
inline Exit dispatch(const Program& program, const Commands& commands, std::vector<std::string> arguments) {
  CLI::App app(type_text(commands.config), "tinygpt-" + program.preset);
  app.footer(
      "Exit codes: 0 done, 1 it failed, 2 the command line is wrong, 3 not enough memory,\n"
      "4 the loss was not finite ten times in a row, 130 or 143 stopped by a signal after saving.");
  bool version = false;
  app.add_flag("--version", version, "Print the version");
  app.get_formatter()->column_width(34);

  InfoFlags info_flags;
  TrainFlags train_flags;
  GenerateFlags generate_flags;
  CLI::App& info_app = *app.add_subcommand("info", "Show the architecture: parameters, memory, FLOPs");
  CLI::App& train_app = *app.add_subcommand("train", "Train on a text file");
  CLI::App& generate_app = *app.add_subcommand("generate", "Let a trained model write");
  for (CLI::App* command : {&app, &info_app, &train_app, &generate_app}) command->allow_extras();
  add_flags(info_app, info_flags);
  add_flags(train_app, train_flags, program.defaults);
  add_flags(generate_app, generate_flags);

  std::reverse(arguments.begin(), arguments.end());  // CLI11 reads them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return Exit::done;
  } catch (const CLI::ParseError& error) {
    throw UsageError(std::string(error.what()) + ": see --help");
  }
  refuse_unknown(app);
  if (version) {
    std::printf("tinygpt-%s %s\n", program.preset.c_str(), TINYGPT_VERSION);
    return Exit::done;
  }
  if (info_app.parsed()) {
    refuse_unknown(info_app);
    return info(program, commands.config, info_flags);
  }
  if (train_app.parsed()) {
    refuse_unknown(train_app);
    check(train_flags, program.defaults);
    return commands.train(program, train_flags);
  }
  if (generate_app.parsed()) {
    refuse_unknown(generate_app);
    check(generate_flags);
    return commands.generate(program, generate_flags);
  }
  throw UsageError("a command is missing: write info, train or generate after the program's name, or --help");
}

/// Runs, and turns what goes wrong into one sentence and an exit code.
inline int run(const Program& program, const Commands& commands, int argc, char** argv) {
  try {
    return static_cast<int>(dispatch(program, commands, normalised(argc, argv)));
  } catch (const UsageError& error) {
    complain(program, error.what());
    return static_cast<int>(Exit::wrong_command_line);
  } catch (const OutOfMemory& error) {
    complain(program, error.what());
    return static_cast<int>(Exit::out_of_memory);
  } catch (const std::bad_alloc&) {
    complain(program, "there is not enough memory: lower --batch-size or close other programs");
    return static_cast<int>(Exit::out_of_memory);
  } catch (const std::exception& error) {
    complain(program, error.what());
    return static_cast<int>(Exit::failed);
  }
}

/// The whole program of a model: `name` is what it is called, such as "tiny_char"; `defaults` is how it is trained
/// where the command line says nothing; `label` is the size that documents give it, where they do.
template <Architecture M>
int main(std::string_view name, const TrainOptions& defaults, int argc, char** argv, std::string_view label = {}) {
  return run({std::string(name), argc > 0 ? argv[0] : "tinygpt-" + std::string(name), std::string(label), defaults},
             {M::config, &train<M>, &generate<M>}, argc, argv);
}

}  // namespace tinygpt::cli

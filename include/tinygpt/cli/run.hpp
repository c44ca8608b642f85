// The commands of a model's program: parsing, dispatching, and what goes wrong as one sentence.
//
// Nothing here depends on the model's type, and CLI11 and the JSON library take their time to compile; so programs that
// define TINYGPT_CLI_COMPILED leave it to the library tinygpt-cli, which is this header once.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/eval.hpp>
#include <tinygpt/cli/exchange.hpp>
#include <tinygpt/cli/flags.hpp>
#include <tinygpt/cli/generate.hpp>
#include <tinygpt/cli/info.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/process.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/train.hpp>

namespace tinygpt::cli {

/// Parses and runs; throws what goes wrong.
inline Exit dispatch(const Program& program, const Model& model, std::vector<std::string> arguments) {
  CLI::App app(type_text(model.config), "tinygpt-" + program.preset);
  app.footer(
      "Exit codes: 0 done, 1 it failed, 2 the command line is wrong, 3 not enough memory,\n"
      "4 the loss was not finite, 5 the disk is full, 128 + n stopped by the signal n after saving.");

  InfoFlags info_flags;
  TrainFlags train_flags;
  GenerateFlags generate_flags;
  EvalFlags eval_flags;
  ExportFlags export_flags;
  ImportFlags import_flags;
  CLI::App& info_app = *app.add_subcommand("info", "Show the architecture: parameters, memory, FLOPs");
  CLI::App& train_app = *app.add_subcommand("train", "Train on a text file or a dataset");
  CLI::App& generate_app = *app.add_subcommand("generate", "Let a trained model write");
  CLI::App& eval_app =
      *app.add_subcommand("eval", "Measure a trained model on a whole text: loss, perplexity, bits per byte");
  CLI::App& export_app = *app.add_subcommand(ExportFlags::command, ExportFlags::about);
  CLI::App& import_app = *app.add_subcommand(ImportFlags::command, ImportFlags::about);
  add_flags(info_app, info_flags);
  add_flags(train_app, train_flags, program.defaults);
  add_flags(generate_app, generate_flags);
  add_flags(eval_app, eval_flags);
  add_flags(export_app, export_flags);
  add_flags(import_app, import_flags);

  if (!parse(app, std::move(arguments))) return Exit::done;
  if (!model.cpu_build.optimised) {
    complain(program, "this program was built without optimisation, which makes it some 27 times slower: configure with "
                      "-DCMAKE_BUILD_TYPE=Release");
  }
  if (info_app.parsed()) return info(program, model, info_flags);
  if (train_app.parsed()) {
    check(train_flags, program.defaults);
    return train(program, model, train_flags);
  }
  if (generate_app.parsed()) {
    check(generate_flags);
    return generate(program, model, generate_flags);
  }
  if (eval_app.parsed()) {
    check(eval_flags);
    return eval(program, model, eval_flags);
  }
  const auto warn = [&](const std::string& sentence) { complain(program, sentence); };
  if (export_app.parsed()) {
    return until_signal([&] { return export_model(export_flags, model.config, warn); });
  }
  if (import_app.parsed()) {
    return until_signal([&] { return import_model(import_flags, model.config); });
  }
  throw UsageError(
      "a command is missing: write info, train, generate, eval, export or import after the program's name, or --help");
}

/// Runs, and turns what goes wrong into one sentence and an exit code.
inline int run(const Program& program, const Model& model, int argc, char** argv) {
  return run_program("tinygpt-" + program.preset, [&] { return dispatch(program, model, normalised(argc, argv)); });
}

}  // namespace tinygpt::cli

// Any words as a command line of a model's program and of the tool: refused by a UsageError, or understood.
//
// Words end with a newline; a first byte of 'm' asks for the model's program.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include <tinygpt/cli/run.hpp>
#include <tinygpt/cli/tool/main.hpp>

#include "fuzz_input.hpp"

using namespace tinygpt;

namespace {

void parse_for_model(std::vector<std::string> words) {
  const TrainOptions defaults;
  CLI::App app("A model", "tinygpt-model");
  cli::TrainFlags train;
  cli::GenerateFlags generate;
  CLI::App& train_app = *app.add_subcommand("train", "Train");
  CLI::App& generate_app = *app.add_subcommand("generate", "Generate");
  cli::add_flags(train_app, train, defaults);
  cli::add_flags(generate_app, generate);
  if (!cli::parse(app, std::move(words))) return;
  if (train_app.parsed()) {
    cli::check(train, defaults);
    const TrainOptions o = applied(train, defaults);
    if (o.batch_size < 1 || o.max_iters < 1 || !(o.learning_rate > 0)) std::abort();
  }
  if (generate_app.parsed()) cli::check(generate);
}

void parse_for_tool(std::vector<std::string> words) {
  CLI::App app("The tool", "tinygpt");
  cli::tool::Commands commands;
  const auto add = [&](auto& flags) { add_flags(*app.add_subcommand(flags.command, flags.about), flags); };
  std::apply([&](auto&... each) { (add(each), ...); }, commands);
  cli::parse(app, std::move(words));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Helps and versions would bury what the fuzzer says.
  [[maybe_unused]] static const auto* const quiet = std::freopen("/dev/null", "w", stdout);
  FuzzInput input(data, size);
  const bool model = input.byte() == 'm';
  std::vector<std::string> words{"tinygpt"};
  while (!input.rest().empty() && words.size() < 64) {
    const std::string_view word = input.up_to('\n');
    words.emplace_back(word.substr(0, word.find('\0')));  // the system ends each word at a zero
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const auto normal = cli::normalised(static_cast<int>(words.size()), argv.data());
  try {
    model ? parse_for_model(normal) : parse_for_tool(normal);
  } catch (const cli::UsageError& error) {
    if (std::string_view(error.what()).empty()) std::abort();
  }
  return 0;
}

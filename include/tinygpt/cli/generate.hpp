// generate: a trained model writes.
#pragma once

#include <string>

#include <tinygpt/cli/backend.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/io/run_directory.hpp>
#include <tinygpt/layout/arena.hpp>

namespace tinygpt::cli {

struct GenerateFlags {
  std::string model;
  std::string prompt;  ///< empty: not given
  int max_new_tokens = 500;
  SampleOptions sampling;
  bool greedy = false, temperature_given = false;
  int num_samples = 1;
  BackendFlags backend;
};

inline void add_flags(CLI::App& app, GenerateFlags& flags) {
  add_path(app, "--model", "Directory of a model: what was --out in train, or a checkpoint; required", "DIR",
           flags.model);
  const auto set_prompt = [&](const std::string& text) {
    if (text.empty()) throw UsageError("--prompt is empty: give at least one character, or leave it out");
    flags.prompt = text;
  };
  app.add_option_function<std::string>("--prompt", set_prompt,
                                       "Text to go on from (default a newline, or the token that ends a document)")
      ->type_name("TEXT")
      ->take_last();
  add_number<int>(app, "--max-new-tokens",
                  "Length of a sample, in tokens; it ends before at a token that ends a document", "500", positive_int,
                  [&](int n) { flags.max_new_tokens = n; });
  add_number<double>(app, "--temperature", "Boldness: 0 takes the likeliest token, 1 samples as learned",
                     shown(flags.sampling.temperature), not_negative, [&](double x) {
                       flags.sampling.temperature = x;
                       flags.temperature_given = true;
                     });
  add_number<int>(app, "--top-k", "Choose among this many likeliest tokens only; 0 for all", "0", zero_or_more_int,
                  [&](int n) { flags.sampling.top_k = n; });
  add_number<double>(app, "--top-p", "Choose among the likeliest tokens that together reach this probability", "1",
                     fraction, [&](double x) { flags.sampling.top_p = x; });
  add_number<std::uint64_t>(app, "--seed", "Which random numbers to draw: the same seed writes the same text", "1337",
                            any_seed, [&](std::uint64_t n) { flags.sampling.seed = n; });
  add_number<int>(app, "--num-samples", "How many samples to write, each with the next seed", "1", positive_int,
                  [&](int n) { flags.num_samples = n; });
  app.add_flag("--greedy", flags.greedy, "Take the likeliest token always; the same as --temperature 0");
  add_flags(app, flags.backend);
}

inline void check(GenerateFlags& flags) {
  if (flags.model.empty()) throw UsageError("generate needs --model DIR, the directory of a trained model: see --help");
  if (flags.greedy && flags.temperature_given && flags.sampling.temperature > 0) {
    throw UsageError("--greedy and --temperature contradict each other: leave one of them out");
  }
  if (flags.greedy) flags.sampling.temperature = 0;
}

inline void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw file_error("write the text to", "standard output", errno);
  }
}

/// What a sample begins with: as it is shown, and as the model reads it.
struct Beginning {
  std::string text;
  std::vector<std::int32_t> tokens;
};

/// The prompt. Without one, a document begins after the end of another; where documents have no end, text usually
/// begins after a newline; a corpus of one line has none.
inline Beginning first_words(const Tokenizer& tokenizer, const std::string& prompt) {
  if (!prompt.empty()) return {prompt, tokenizer.encode(prompt)};
  if (const auto end = tokenizer.end_of_text()) return {"", {*end}};
  const std::string text = tokenizer.vocabulary().id_of_byte('\n') >= 0 ? "\n" : std::string(tokenizer.decode(0));
  return {text, tokenizer.encode(text)};
}

inline Exit generate(const Program& program, const Model& model, const GenerateFlags& flags) {
  const Chosen backend = choose(model, flags.backend);
  Arena<float> weights(ParamTable(model.config).arena_size());
  const Tokenizer tokenizer = load_newest(
      flags.model, [&](const std::filesystem::path& path) { return load_model(path, model.config, weights.span()); },
      [&](const char* sentence) { complain(program, sentence + std::string("; reading the one before it")); });
  const Beginning beginning = first_words(tokenizer, flags.prompt);

  const auto generator = backend.model->generator(backend.how, std::move(weights));
  for (int sample = 0; sample < flags.num_samples; ++sample) {
    if (sample > 0) write_out("--------\n");
    SampleOptions sampling = flags.sampling;
    sampling.vocab = tokenizer.size();
    sampling.seed += static_cast<std::uint64_t>(sample);
    // A terminal obeys control characters, so none may reach it; a file gets the text as it is.
    Utf8Stream text(on_terminal() ? Controls::escape : Controls::keep);
    write_out(text.push(beginning.text));
    generator->generate(beginning.tokens, flags.max_new_tokens, sampling, [&](std::int32_t token) {
      if (token == tokenizer.end_of_text()) return false;
      const std::string_view bytes = tokenizer.decode(token);
      if (const std::string characters = text.push(bytes.empty() ? "\xFF" : bytes); !characters.empty()) {
        write_out(characters);
      }
      return true;
    });
    write_out(text.finish() + "\n");
  }
  return Exit::done;
}

}  // namespace tinygpt::cli

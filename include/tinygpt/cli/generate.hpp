// generate: a trained model writes.
#pragma once

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/backend.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/process.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/io/run_directory.hpp>
#include <tinygpt/layout/arena.hpp>

namespace tinygpt::cli {

struct GenerateFlags {
  std::string model;
  bool best = false;
  std::string prompt;                           ///< empty: not given
  std::string prompts;                          ///< a file of them; empty: not given
  SpecialText special = SpecialText::ordinary;  ///< of prompts
  int max_new_tokens = 500;
  SampleOptions sampling;
  bool greedy = false, temperature_given = false;
  int num_samples = 1, batch_size = 8;
  BackendFlags backend;
};

/// Which trained model a command reads.
inline void add_model(CLI::App& app, std::string& model, bool& best) {
  add_path(app, "--model", "Directory of a model: what was --out in train, or a checkpoint; required", "DIR", model);
  app.add_flag("--best", best, "Of a training run take the checkpoint with the best validation loss, not the newest");
}

inline std::filesystem::path model_path(const std::string& model, bool best) {
  return best ? best_checkpoint(model) : std::filesystem::path(model);
}

inline void add_flags(CLI::App& app, GenerateFlags& flags) {
  add_model(app, flags.model, flags.best);
  const auto set_prompt = [&](const std::string& text) {
    if (text.empty()) throw UsageError("--prompt is empty: give at least one character, or leave it out");
    flags.prompt = text;
  };
  app.add_option_function<std::string>("--prompt", set_prompt,
                                       "Text to go on from (default a newline, or the token that ends a document)")
      ->type_name("TEXT")
      ->take_last();
  add_path(app, "--prompts", "A text file with a prompt on each line; each is continued, in order", "FILE",
           flags.prompts);
  app.add_flag_callback(
      "--allow-special", [&flags] { flags.special = SpecialText::allowed; },
      "Where a prompt names a special token of the tokenizer, take that token");
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
  add_number<int>(app, "--num-samples", "How many samples to write of a prompt; each text has the next seed", "1",
                  positive_int, [&](int n) { flags.num_samples = n; });
  add_number<int>(app, "--batch-size",
                  "How many texts to write at once, which is quicker; on a cpu any number writes the same", "8",
                  positive_int, [&](int n) { flags.batch_size = n; });
  app.add_flag("--greedy", flags.greedy, "Take the likeliest token always; the same as --temperature 0");
  add_flags(app, flags.backend);
}

inline void check(GenerateFlags& flags) {
  if (flags.model.empty()) throw UsageError("generate needs --model DIR, the directory of a trained model: see --help");
  if (!flags.prompt.empty() && !flags.prompts.empty()) {
    throw UsageError("--prompt and --prompts contradict each other: leave one of them out");
  }
  if (flags.greedy && flags.temperature_given && flags.sampling.temperature > 0) {
    throw UsageError("--greedy and --temperature contradict each other: leave one of them out");
  }
  if (flags.greedy) flags.sampling.temperature = 0;
}

/// Throws where standard output cannot be written, but not where its reader has gone: that is no fault.
inline void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  const int error = errno;
  if (!process::reader_has_gone()) throw standard_output_error(error);
}

/// What a sample begins with: as it is shown, and as the model reads it.
struct Beginning {
  std::string text;
  std::vector<std::int32_t> tokens;
};

/// The prompt. Without one, a document begins after the end of another; where documents have no end, text usually
/// begins after a newline; a corpus of one line has none.
inline Beginning first_words(const Tokenizer& tokenizer, const Companions& companions, const std::string& prompt,
                             SpecialText special) {
  if (!prompt.empty()) return {prompt, tokenizer.encode(prompt, special)};
  if (const auto begin = begin_token(companions, tokenizer)) return {"", {*begin}};
  const std::string text = tokenizer.vocabulary().id_of_byte('\n') >= 0 ? "\n" : std::string(tokenizer.decode(0));
  return {text, tokenizer.encode(text)};
}

/// Texts that are written at once, in turn: of the first that is not finished every piece as it comes, of those after
/// it what came meanwhile.
class TextsInTurn {
 public:
  explicit TextsInTurn(std::size_t count) : texts_(count) {}

  void push(std::size_t i, std::string_view bytes) { write(i, texts_[i].stream.push(bytes)); }

  void end(std::size_t i) {
    write(i, texts_[i].stream.finish() + "\n");
    texts_[i].ended = true;
    while (turn_ < texts_.size() && texts_[turn_].ended) {
      if (++turn_ < texts_.size()) write_out("--------\n" + std::exchange(texts_[turn_].waiting, {}));
    }
  }

 private:
  struct Text {
    // A terminal obeys control characters, so none may reach it; a file gets the text as it is.
    Utf8Stream stream{on_terminal() ? Controls::escape : Controls::keep};
    std::string waiting;
    bool ended = false;
  };

  void write(std::size_t i, const std::string& characters) {
    if (i != turn_) {
      texts_[i].waiting += characters;
    } else if (!characters.empty()) {
      write_out(characters);
    }
  }

  std::vector<Text> texts_;
  std::size_t turn_ = 0;
};

/// A model reads no more than its context: of a longer prompt only the end.
inline void warn_of_cut_prompts(const Program& program, const std::vector<Beginning>& texts, int ctx) {
  std::size_t longest = 0;
  for (const Beginning& text : texts) longest = std::max(longest, text.tokens.size());
  if (longest <= static_cast<std::size_t>(ctx)) return;
  complain(program, "a prompt has " + std::to_string(longest) + " tokens, and the model's context is " +
                        std::to_string(ctx) + ": only the last " + std::to_string(ctx) + " of them are read");
}

/// The prompts that were asked for, each as often as samples were; without any, what a text begins with.
inline std::vector<Beginning> beginnings(const Tokenizer& tokenizer, const Companions& companions,
                                         const GenerateFlags& flags) {
  std::vector<std::string> prompts{flags.prompt};
  if (!flags.prompts.empty()) {
    prompts.clear();
    std::string text = read_small_file(flags.prompts);
    if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);  // a byte-order mark is no part of the text
    std::istringstream lines(std::move(text));
    for (std::string line; std::getline(lines, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) prompts.push_back(line);
    }
    if (prompts.empty()) throw Error(flags.prompts + " holds no prompt: write one on each line");
  }
  std::vector<Beginning> all;
  for (const std::string& prompt : prompts) {
    all.insert(all.end(), static_cast<std::size_t>(flags.num_samples),
               first_words(tokenizer, companions, prompt, flags.special));
  }
  return all;
}

inline Exit generate(const Program& program, const Model& model, const GenerateFlags& flags) {
  const Chosen backend = choose(model, flags.backend);
  const std::int64_t available = backend.available();  // weights included, as in generate_bytes
  Arena<float> weights(ParamTable(model.config).arena_size());
  Companions companions;
  const Tokenizer tokenizer = load_newest(
      model_path(flags.model, flags.best),
      [&](const std::filesystem::path& path) {
        companions = read_companions(ModelReader(path));
        return load_model(path, model.config, weights.span());
      },
      [&](const char* sentence) { complain(program, sentence + std::string("; reading the one before it")); });

  std::vector<Beginning> texts = beginnings(tokenizer, companions, flags);
  warn_of_cut_prompts(program, texts, model.config.ctx);
  int batch = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(flags.batch_size), texts.size()));
  if (available >= 0) batch = texts_at_once(model.config, batch, available, backend.how.precision);
  SampleOptions sampling = flags.sampling;
  sampling.vocab = tokenizer.size();
  TextsInTurn written(texts.size());
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    written.push(i, texts[i].text);
    prompts.push_back(std::move(texts[i].tokens));
  }
  std::vector<int> left(texts.size(), flags.max_new_tokens);
  const std::vector<std::int32_t> end_ids = end_tokens(companions, tokenizer);
  const auto generator = backend.model->generator(backend.how, std::move(weights), Batch{batch});
  generator->generate(prompts, flags.max_new_tokens, sampling, [&](std::size_t i, std::int32_t token) {
    const bool ends = std::find(end_ids.begin(), end_ids.end(), token) != end_ids.end();
    if (!ends) {
      const std::string_view bytes = tokenizer.decode(token);
      written.push(i, bytes.empty() ? "\xFF" : bytes);
    }
    if (ends || --left[i] == 0) written.end(i);
    return !ends && std::ferror(stdout) == 0;
  });
  return Exit::done;
}

}  // namespace tinygpt::cli

// eval: the loss of a trained model over a whole text or a whole validation split.
#pragma once

#include <chrono>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/cli/backend.hpp>
#include <tinygpt/cli/generate.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/table.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/cli/train_data.hpp>

namespace tinygpt::cli {

struct EvalFlags {
  std::string model, input_file, dataset_dir;
  bool best = false, json = false;
  int batch_size = 8;
  BackendFlags backend;
};

inline void add_flags(CLI::App& app, EvalFlags& flags) {
  add_model(app, flags.model, flags.best);
  add_path(app, "--input-file", "Text to evaluate, UTF-8, all of it", "FILE", flags.input_file);
  add_path(
      app, "--dataset-dir",
      "Directory of tokens whose validation split to evaluate, or all where it has none; one of the two is required",
      "DIR", flags.dataset_dir);
  add_number<int>(app, "--batch-size", "Contexts to evaluate at once", "8", positive_int,
                  [&](int n) { flags.batch_size = n; });
  app.add_flag("--json", flags.json, "Print JSON");
  add_flags(app, flags.backend);
  app.footer(
      "The text is cut into windows of one context, end to end, so that every token but the first of each shard is\n"
      "predicted once, from those before it in its window. Loss and bits per byte count the end-of-text tokens, too.");
}

inline void check(const EvalFlags& flags) {
  if (flags.model.empty()) throw UsageError("eval needs --model DIR, the directory of a trained model: see --help");
  if (flags.input_file.empty() == flags.dataset_dir.empty()) {
    throw UsageError("eval needs one of --input-file FILE and --dataset-dir DIR, what to evaluate: see --help");
  }
}

/// What a model's predictions of a text are worth.
struct TextLoss {
  double nats = 0;          ///< of all tokens together
  std::int64_t tokens = 0;  ///< predicted
  std::int64_t bytes = 0;   ///< of the text that these tokens stand for

  double nats_per_token() const { return nats / static_cast<double>(tokens); }
  double perplexity() const { return std::exp(nats_per_token()); }
  double bits_per_byte() const { return nats / std::numbers::ln2 / static_cast<double>(bytes); }
};

/// Cuts `data` into windows of `ctx` tokens, end to end, each with the token that follows each of its own as target;
/// windows that a shard's end cuts short are filled up with ignored targets. Calls batch(tokens, targets) for `at_once`
/// of them (at_once x ctx each), which returns whether to go on.
template <class Batch> void for_each_batch(const TokenStream& data, int ctx, int at_once, Batch&& batch) {
  const auto T = static_cast<std::size_t>(ctx), size = T * static_cast<std::size_t>(at_once);
  std::vector<std::int32_t> tokens(size, 0), targets(size, ignored_target), window;
  std::size_t filled = 0;
  bool go_on = true;
  const auto give = [&] {
    if (filled > 0) go_on = batch(std::span<const std::int32_t>(tokens), std::span<const std::int32_t>(targets));
    std::fill(tokens.begin(), tokens.end(), 0);
    std::fill(targets.begin(), targets.end(), ignored_target);
    filled = 0;
  };
  const auto lengths = data.lengths();
  for (std::size_t shard = 0; shard < lengths.size(); ++shard) {
    for (std::int64_t first = 0; first + 1 < lengths[shard] && go_on; first += ctx) {
      window.resize(static_cast<std::size_t>(std::min<std::int64_t>(ctx + 1, lengths[shard] - first)));
      data.read({shard, first}, window);
      std::copy(window.begin(), window.end() - 1, tokens.begin() + static_cast<std::ptrdiff_t>(filled * T));
      std::copy(window.begin() + 1, window.end(), targets.begin() + static_cast<std::ptrdiff_t>(filled * T));
      if (++filled == static_cast<std::size_t>(at_once)) give();
    }
  }
  if (go_on) give();
}

namespace eval_data {

/// What is evaluated, as tokens of the model's, and what it is.
inline std::pair<TokenStream, std::string> open(const EvalFlags& flags, const Tokenizer& tokenizer) {
  if (!flags.input_file.empty()) {
    const std::string text = read_text_file(flags.input_file);
    return {TokenStream(tokenizer.encode(text)),
            flags.input_file + ": " + grouped(static_cast<std::int64_t>(text.size())) + " bytes"};
  }
  const Dataset dataset = train_data::dataset_to_evaluate(flags.dataset_dir, tokenizer);
  const DatasetSplit& split = train_data::validation_of(dataset);
  if (split.shards.empty()) throw Error(flags.dataset_dir + " has no tokens to evaluate: prepare some");
  auto checked = open_shards(dataset, split, tokenizer.size(), hardware_threads());
  return {TokenStream(std::move(checked.shards), tokenizer.size()),
          flags.dataset_dir + ": its " + (dataset.validation.shards.empty() ? "training" : "validation") + " split"};
}

}  // namespace eval_data

inline Exit eval(const Program& program, const Model& model, const EvalFlags& flags) {
  const Chosen backend = choose(model, flags.backend);
  const int ctx = model.config.ctx;
  const auto path = model_path(flags.model, flags.best);
  Arena<float> weights(ParamTable(model.config).arena_size());
  std::filesystem::path taken;
  const Tokenizer tokenizer = load_newest(
      path,
      [&](const std::filesystem::path& from) {
        taken = from;
        return load_model(from, model.config, weights.span());
      },
      [&](const char* sentence) { complain(program, sentence + std::string("; reading the one before it")); });
  const auto [data, description] = eval_data::open(flags, tokenizer);
  std::int64_t to_predict = 0, windows = 0;
  for (const std::int64_t length : data.lengths()) {
    to_predict += std::max<std::int64_t>(length - 1, 0);
    windows += (std::max<std::int64_t>(length - 1, 0) + ctx - 1) / ctx;
  }
  if (to_predict == 0) throw Error(description + ", fewer than two tokens: give a longer text to evaluate");

  // On the host the weights are there already, and their copy in another type may be beside them.
  const std::int64_t available = backend.available();
  int batch = static_cast<int>(std::min<std::int64_t>(flags.batch_size, windows));
  const auto bytes = [&] { return evaluate_bytes(model.config, backend.how.precision, Batch{batch}); };
  while (batch > 1 && available >= 0 && bytes() > available) batch /= 2;
  if (!flags.json) {
    std::fputs(paragraph(backend.line).c_str(), stdout);
    std::fputs(paragraph(printable(taken.string() + " on " + description) + ", " + grouped(to_predict + 1) + " tokens")
                   .c_str(),
               stdout);
    std::fflush(stdout);
  }
  const auto evaluator = backend.model->evaluator(backend.how, std::move(weights), Batch{batch});

  const Signals signals;
  ProgressBar bar(on_terminal() && !flags.json);
  const auto begun = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(); };
  TextLoss found;
  for_each_batch(data, ctx, batch, [&](std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets) {
    found.nats += evaluator->loss(tokens, targets);
    for (const std::int32_t target : targets) {
      if (target == ignored_target) continue;
      ++found.tokens;
      if (target != tokenizer.end_of_text()) found.bytes += static_cast<std::int64_t>(tokenizer.decode(target).size());
    }
    const double left = seconds() * static_cast<double>(to_predict - found.tokens) / static_cast<double>(found.tokens);
    bar.draw("evaluating " + grouped(found.tokens) + "/" + grouped(to_predict), found.tokens, to_predict,
             format("loss %.4f  ", found.nats_per_token()) + "eta " + duration_text(left));
    return signals.received() == 0 && std::isfinite(found.nats);
  });
  bar.clear();
  if (!std::isfinite(found.nats)) {
    complain(program,
             "the loss of " + taken.string() + " is not finite: its weights are too large, so use another checkpoint");
    return Exit::not_finite;
  }
  if (found.tokens < to_predict) {
    complain(program, "stopped after " + grouped(found.tokens) + " of " + grouped(to_predict) + " tokens");
    return static_cast<Exit>(128 + signals.received());
  }
  const double took = seconds(), rate = static_cast<double>(found.tokens) / std::max(took, 1e-9);
  if (flags.json) {
    const Json json{{"model", printable(taken.string())},
                    {"loss", found.nats_per_token()},
                    {"perplexity", found.perplexity()},
                    {"bits_per_byte", found.bits_per_byte()},
                    {"tokens", found.tokens},
                    {"bytes", found.bytes},
                    {"context", ctx},
                    {"precision", config_text::word_of(config_text::precisions, backend.how.precision)},
                    {"seconds", took},
                    {"tokens_per_second", rate}};
    std::fputs(json_text(json).c_str(), stdout);
    return Exit::done;
  }
  std::printf("loss %.4f nats per token, perplexity %.4g, %.4f bits per byte\n", found.nats_per_token(),
              found.perplexity(), found.bits_per_byte());
  std::printf("%s tokens of %s bytes in %s, %s tok/s\n", grouped(found.tokens).c_str(), grouped(found.bytes).c_str(),
              duration_text(took).c_str(), grouped(std::llround(rate)).c_str());
  return Exit::done;
}

}  // namespace tinygpt::cli

// The flags of train.
#pragma once

#include <algorithm>
#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/cli/backend.hpp>
#include <tinygpt/io/trainer_state.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt::cli {

struct TrainFlags {
  std::string input_file, dataset_dir, tokenizer, init_from_model, out;
  std::vector<EvalDataset> eval_datasets;
  bool eval_datasets_given = false;
  std::optional<Sampling> sampling;
  bool resume = false;
  BackendFlags backend;
  std::int64_t checkpoint_interval = 0;  ///< 0: not given
  std::optional<std::int64_t> patience;
  double disk_wait = 10;  ///< minutes
  bool min_learning_rate_given = false;
  /// What the user said about the options, to be applied to the defaults or to those of a checkpoint.
  std::vector<std::function<void(TrainOptions&)>> said;
};

/// NAME:DIR, of which the name becomes a part of a key in metrics.jsonl.
inline EvalDataset parse_eval_dataset(const std::string& text) {
  constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  const auto colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size() || text.find_first_not_of(plain) != colon) {
    throw UsageError("--eval-dataset-dir must be NAME:DIR, with a name of letters, digits, _ and -, not '" +
                     printable(text) + "': see --help");
  }
  return {text.substr(0, colon), text.substr(colon + 1)};
}

inline void add_flags(CLI::App& app, TrainFlags& flags, const TrainOptions& defaults) {
  // One flag for one option: remembers what was said.
  const auto option = [&]<class N>(const char* flag, N TrainOptions::*member, const Range<N>& range,
                                   const std::string& help, std::string default_text) {
    add_number<N>(app, flag, help, default_text, range, [&flags, member](N value) {
      flags.said.push_back([member, value](TrainOptions& options) { options.*member = value; });
    });
  };
  group(app, "Data");
  add_path(app, "--input-file", "Text to train on, UTF-8; the last 10 % is for validation", "FILE", flags.input_file);
  add_path(
      app, "--dataset-dir",
      "Directory of tokens to train on instead: what tinygpt prepare wrote, or shards of llm.c, nanoGPT and others; "
      "one of the two is required",
      "DIR", flags.dataset_dir);
  app.add_option_function<std::vector<std::string>>(
         "--eval-dataset-dir",
         [&flags](const std::vector<std::string>& texts) {
           flags.eval_datasets_given = true;
           for (const auto& text : texts) {
             if (text != "none") flags.eval_datasets.push_back(parse_eval_dataset(text));
           }
         },
         "More tokens to validate with, and a name for their loss; repeatable; none to resume without those of before")
      ->type_name("NAME:DIR")
      ->allow_extra_args(false);
  add_path(app, "--tokenizer",
           "Tokenizer to read the text with, or that the dataset was made with where it has none: a directory or file "
           "(default the characters of the text, or the dataset's)",
           "PATH", flags.tokenizer);
  add_choice<Sampling>(
      app, "--sampling",
      "Which sequences of the data to train on: epoch (every sequence once before any comes again) or random (sequences that "
      "begin anywhere)",
      config_text::word_of(trainer_state::samplings, Sampling::epoch), trainer_state::samplings,
      [&flags](Sampling sampling) { flags.sampling = sampling; });
  group(app, "Model and output");
  add_path(app, "--init-from-model",
           "Begin with the weights and the tokenizer of this model, as a new run: a directory of this architecture, of "
           "tinygpt or of Hugging Face transformers",
           "DIR", flags.init_from_model);
  add_path(app, "--out", "Directory for metrics.jsonl, the two newest checkpoints and the best; required", "DIR",
           flags.out);
  app.add_flag(
      "--resume", flags.resume,
      "Resume from the newest checkpoint in --out, with its options where no others are given; those of this "
      "machine (--backend, --device, --threads, --disk-wait) and the data are given again");
  group(app, "Batches");
  option("--max-iters", &TrainOptions::max_iters, positive, "Iterations in all", std::to_string(defaults.max_iters));
  option("--batch-size", &TrainOptions::batch_size, positive_int, "Sequences per iteration, each one context long",
         std::to_string(defaults.batch_size));
  option("--grad-accum-steps", &TrainOptions::grad_accum_steps, positive_int,
         "Such batches per iteration, one after the other; more than one trains as a larger batch in the memory of one",
         std::to_string(defaults.grad_accum_steps));
  add_choice<Recompute>(
      app, "--recompute",
      "What the backward pass computes again instead of keeping, to save memory: none, activations (norms and the "
      "nonlinearity: little work) or blocks (everything in a layer: a third more work, known as activation checkpointing); gives the same model",
      config_text::word_of(config_text::recomputes, defaults.recompute), config_text::recomputes,
      [&flags](Recompute value) { flags.said.push_back([value](TrainOptions& o) { o.recompute = value; }); });
  group(app, "Learning rate");
  option("--learning-rate", &TrainOptions::learning_rate, above_zero, "Highest learning rate",
         shown(defaults.learning_rate));
  add_number<double>(app, "--min-learning-rate", "Learning rate at the end of the cosine", "a tenth of --learning-rate",
                     not_negative, [&](double value) {
                       flags.min_learning_rate_given = true;
                       flags.said.push_back([value](TrainOptions& options) { options.min_learning_rate = value; });
                     });
  option("--warmup-iters", &TrainOptions::warmup_iters, zero_or_more, "Iterations over which the learning rate rises",
         std::to_string(defaults.warmup_iters));
  group(app, "Optimizer and regularisation");
  option("--weight-decay", &TrainOptions::weight_decay, not_negative, "AdamW's decay of the matrices",
         shown(defaults.weight_decay));
  option("--beta1", &TrainOptions::beta1, below_one, "AdamW's momentum: how much of the mean gradient is kept", shown(defaults.beta1));
  option("--beta2", &TrainOptions::beta2, below_one, "AdamW's second momentum: how much of the mean square is kept", shown(defaults.beta2));
  option("--grad-clip", &TrainOptions::grad_clip, not_negative, "Largest norm of the gradient; 0 for no clipping",
         shown(defaults.grad_clip));
  option("--dropout", &TrainOptions::dropout, below_one, "Probability with which an activation is dropped",
         shown(defaults.dropout));
  group(app, "Evaluation and checkpoints");
  option("--eval-interval", &TrainOptions::eval_interval, zero_or_more,
         "Iterations between evaluations; 0 for one at the end only", std::to_string(defaults.eval_interval));
  option("--eval-iters", &TrainOptions::eval_iters, positive_int, "Batches per evaluation, of each part of the data",
         std::to_string(defaults.eval_iters));
  add_number<std::int64_t>(app, "--checkpoint-interval", "Iterations between checkpoints", "--eval-interval", positive,
                           [&](std::int64_t n) { flags.checkpoint_interval = n; });
  add_number<std::int64_t>(app, "--patience",
                           "End after this many evaluations in a row without a better validation loss; 0 for never",
                           "0", zero_or_more, [&](std::int64_t n) { flags.patience = n; });
  group(app, "Machine");
  add_number<double>(app, "--disk-wait", "Minutes to wait for room where the disk is full, before the run ends", "10",
                     not_negative, [&](double minutes) { flags.disk_wait = minutes; });
  option("--seed", &TrainOptions::seed, any_seed, "Which random numbers to draw: weights, batches, dropout",
         std::to_string(defaults.seed));
  add_flags(app, flags.backend);
  app.footer(
      "Ctrl-C finishes the iteration, saves a checkpoint and says how to resume; a second one ends at once. So do\n"
      "SIGTERM, a terminal that closes, and a reader of the output that has gone (train | head).\n"
      "A checkpoint is saved at every best evaluation, and never with numbers that are not finite.\n"
      "An iteration whose loss or gradient is not finite changes nothing; ten in a row end the run with exit code 4.");
}

/// What was said, on top of `options`.
inline TrainOptions applied(const TrainFlags& flags, TrainOptions options) {
  const double before = options.learning_rate;
  for (const auto& say : flags.said) say(options);
  if (!flags.min_learning_rate_given && options.learning_rate != before) {
    options.min_learning_rate = options.learning_rate / 10;
  }
  if (options.min_learning_rate > options.learning_rate) {
    throw UsageError("--min-learning-rate must be at most --learning-rate (" + shown(options.learning_rate) +
                     "), not " + shown(options.min_learning_rate) + ": lower it");
  }
  return options;
}

namespace train_flags {

inline std::string text_of(double value) { return shown(value); }
template <std::integral N> std::string text_of(N value) { return std::to_string(value); }
inline std::string text_of(Recompute value) { return config_text::word_of(config_text::recomputes, value); }
inline std::string text_of(Sampling value) { return config_text::word_of(trainer_state::samplings, value); }
inline std::string text_of(const std::vector<EvalDataset>& datasets) {
  std::string text;
  for (const auto& [name, directory] : datasets) text += (text.empty() ? "" : ", ") + name + ":" + directory;
  return text.empty() ? "none" : text;
}

}  // namespace train_flags

/// Puts what was said on top of what a run keeps, and says what that changes: "learning rate 0.001 instead of 0.0003".
inline std::vector<std::string> apply(const TrainFlags& flags, TrainerState& state) {
  const TrainerState before = state;
  state.options = applied(flags, state.options);
  if (flags.checkpoint_interval > 0) state.checkpoint_interval = flags.checkpoint_interval;
  state.patience = flags.patience.value_or(state.patience);
  state.sampling = flags.sampling.value_or(state.sampling);
  if (flags.eval_datasets_given) state.eval_datasets = flags.eval_datasets;

  std::vector<std::string> changes;
  const auto compare = [&](std::string name, const auto& now, const auto& then, const char* remark = "") {
    if (now == then) return;
    std::replace(name.begin(), name.end(), '_', ' ');
    changes.push_back(name + " " + train_flags::text_of(now) + " instead of " + train_flags::text_of(then) + remark);
  };
  trainer_state::for_each_option(state.options, [&](const char* name, const auto& now) {
    const bool follows = std::string_view(name) == "min_learning_rate" && !flags.min_learning_rate_given;
    trainer_state::for_each_option(before.options, [&](const char* other, const auto& then) {
      if constexpr (std::is_same_v<decltype(now), decltype(then)>) {
        if (std::string_view(name) == other) compare(name, now, then, follows ? " (a tenth of the learning rate)" : "");
      }
    });
  });
  compare("recompute", state.options.recompute, before.options.recompute);
  compare("checkpoint_interval", state.checkpoint_interval, before.checkpoint_interval);
  compare("patience", state.patience, before.patience);
  compare("sampling", state.sampling, before.sampling);
  compare("evaluation datasets", state.eval_datasets, before.eval_datasets);
  return changes;
}

inline void check(const TrainFlags& flags, const TrainOptions& defaults) {
  if (flags.input_file.empty() && flags.dataset_dir.empty()) {
    throw UsageError("train needs --input-file FILE, the text to train on, or --dataset-dir DIR: see --help");
  }
  if (!flags.input_file.empty() && !flags.dataset_dir.empty()) {
    throw UsageError("--input-file and --dataset-dir contradict each other: leave one of them out");
  }
  for (std::size_t i = 0; i < flags.eval_datasets.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (flags.eval_datasets[i].name == flags.eval_datasets[j].name) {
        throw UsageError("--eval-dataset-dir has the name " + flags.eval_datasets[i].name +
                         " twice: give each another");
      }
    }
  }
  if (flags.resume && !flags.init_from_model.empty()) {
    throw UsageError("--resume and --init-from-model contradict each other: a run goes on with its own weights");
  }
  if (flags.out.empty()) throw UsageError("train needs --out DIR, where checkpoints are written: see --help");
  if (!flags.resume) applied(flags, defaults);
}

}  // namespace tinygpt::cli

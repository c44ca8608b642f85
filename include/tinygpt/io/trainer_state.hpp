// What a trainer must know, besides its arenas, to go on as if it had never stopped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/data/token_stream.hpp>
#include <tinygpt/data/utf8.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt {

/// More data to validate with: what they are called, and their directory.
struct EvalDataset {
  std::string name, directory;
  bool operator==(const EvalDataset&) const = default;
};

struct TrainerState {
  std::int64_t iteration = 0;
  std::int64_t updates = 0;
  std::int64_t skipped = 0;
  TrainOptions options;
  std::optional<Precision> precision;  ///< of weights and activations; checkpoints did not always say it
  std::int64_t checkpoint_interval = 0;
  std::int64_t patience = 0;  ///< the run ends after so many evaluations without a better one; 0: it does not
  std::vector<EvalDataset> eval_datasets;
  std::optional<double> last_validation_loss, best_validation_loss;
  std::optional<std::int64_t> best_step;        ///< whose checkpoint has the best validation loss
  std::optional<std::int64_t> last_evaluation;  ///< its step
  std::int64_t without_improvement = 0;         ///< evaluations since the best one
  std::int64_t data_bytes = 0;                  ///< length of the corpus
  std::uint32_t data_crc32c = 0;                ///< and its fingerprint: going on with other data would be another run
  Sampling sampling = Sampling::epoch;
  std::int64_t windows_drawn = 0;  ///< for training: the next batch begins with the window of this number
};

namespace trainer_state {

inline constexpr config_text::Words<Sampling, 2> samplings{{{Sampling::epoch, "epoch"}, {Sampling::random, "random"}}};

/// Calls f(name, member) for every option that is a number, the seed included.
template <class Options, class F> void for_each_option(Options& o, F&& f) {
  f("max_iters", o.max_iters);
  f("batch_size", o.batch_size);
  f("grad_accum_steps", o.grad_accum_steps);
  f("learning_rate", o.learning_rate);
  f("min_learning_rate", o.min_learning_rate);
  f("warmup_iters", o.warmup_iters);
  f("weight_decay", o.weight_decay);
  f("beta1", o.beta1);
  f("beta2", o.beta2);
  f("grad_clip", o.grad_clip);
  f("dropout", o.dropout);
  f("eval_interval", o.eval_interval);
  f("eval_iters", o.eval_iters);
  f("seed", o.seed);
}

inline Json loss_to_json(const std::optional<double>& loss) { return loss ? Json(*loss) : Json(nullptr); }

inline Json step_to_json(const std::optional<std::int64_t>& step) { return step ? Json(*step) : Json(nullptr); }

/// A count of a run, or where it stands: a whole number from 0 to 2^40, so that sums and products of them fit.
inline std::int64_t count_from_json(const Json& json, const char* key, const std::filesystem::path& path) {
  const auto count = member<std::int64_t>(json, key, path);
  if (count < 0 || count > std::int64_t{1} << 40) {
    throw damaged(path, "'" + std::string(key) + "' must be a number from 0 to 2^40");
  }
  return count;
}

/// The step of something that happened in the run, before or at `iteration`.
inline std::optional<std::int64_t> step_from_json(const Json& json, const char* key, std::int64_t iteration,
                                                  const std::filesystem::path& path) {
  if (!json.contains(key) || json[key].is_null()) return std::nullopt;
  const std::int64_t step = count_from_json(json, key, path);
  if (step > iteration) throw damaged(path, "'" + std::string(key) + "' must be at most 'iteration'");
  return step;
}

/// A path is any bytes, and JSON is UTF-8: another one is kept as the list of its bytes.
inline Json path_to_json(const std::string& text) {
  if (!first_utf8_fault(text)) return text;
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

inline std::string path_from_json(const Json& json, const std::filesystem::path& path) {
  if (json.is_string()) return json.get<std::string>();
  std::string text;
  if (json.is_array()) {
    for (const Json& byte : json) {
      if (!byte.is_number_unsigned() || byte.get<std::uint64_t>() > 255) break;
      text += static_cast<char>(byte.get<std::uint64_t>());
    }
  }
  if (text.empty() || text.size() != json.size()) throw damaged(path, "a 'directory' must be a text");
  return text;
}

inline Json eval_datasets_to_json(const std::vector<EvalDataset>& datasets) {
  Json list = Json::array();
  for (const auto& [name, directory] : datasets)
    list.push_back({{"name", name}, {"directory", path_to_json(directory)}});
  return list;
}

inline std::vector<EvalDataset> eval_datasets_from_json(const Json& json, const std::filesystem::path& path) {
  std::vector<EvalDataset> datasets;
  if (!json.contains("eval_datasets")) return datasets;
  if (!json["eval_datasets"].is_array()) throw damaged(path, "'eval_datasets' must be a list");
  for (const Json& each : json["eval_datasets"]) {
    if (!each.is_object() || !each.contains("directory")) throw damaged(path, "'eval_datasets' must hold objects");
    datasets.push_back({member<std::string>(each, "name", path), path_from_json(each["directory"], path)});
  }
  return datasets;
}

/// Are they in the ranges that the flags of train have?
inline void expect_ranges(const TrainOptions& o, const std::filesystem::path& path) {
  constexpr int most = 1'000'000;
  constexpr double large = 1e30;
  const auto expect = [&](bool holds, const char* name) {
    if (!holds) throw damaged(path, "the option '" + std::string(name) + "' is out of range");
  };
  const auto below_one = [](double x) { return x >= 0 && x < 1; };
  expect(o.max_iters >= 1, "max_iters");
  expect(o.batch_size >= 1 && o.batch_size <= most, "batch_size");
  expect(o.grad_accum_steps >= 1 && o.grad_accum_steps <= most, "grad_accum_steps");
  expect(o.learning_rate > 0 && o.learning_rate <= large, "learning_rate");
  expect(o.min_learning_rate >= 0 && o.min_learning_rate <= o.learning_rate, "min_learning_rate");
  expect(o.warmup_iters >= 0, "warmup_iters");
  expect(o.weight_decay >= 0 && o.weight_decay <= large, "weight_decay");
  expect(below_one(o.beta1), "beta1");
  expect(below_one(o.beta2), "beta2");
  expect(o.grad_clip >= 0 && o.grad_clip <= large, "grad_clip");
  expect(below_one(o.dropout), "dropout");
  expect(o.eval_interval >= 0, "eval_interval");
  expect(o.eval_iters >= 1 && o.eval_iters <= most, "eval_iters");
}

inline std::optional<double> loss_from_json(const Json& json, const char* key, const std::filesystem::path& path) {
  if (json.contains(key) && json[key].is_null()) return std::nullopt;
  return member<double>(json, key, path);
}

}  // namespace trainer_state

inline Json options_to_json(const TrainOptions& options) {
  Json json;
  trainer_state::for_each_option(options, [&](const char* name, const auto& value) { json[name] = value; });
  json["recompute"] = config_text::word_of(config_text::recomputes, options.recompute);
  return json;
}

inline Json trainer_state_to_json(const TrainerState& state) {
  return {
      {"format", "tinygpt-trainer"},
      {"format_version", 1},
      {"iteration", state.iteration},
      {"updates", state.updates},
      {"skipped", state.skipped},
      {"options", options_to_json(state.options)},
      {"precision", state.precision ? Json(config_text::word_of(config_text::precisions, *state.precision)) : Json()},
      {"checkpoint_interval", state.checkpoint_interval},
      {"patience", state.patience},
      {"eval_datasets", trainer_state::eval_datasets_to_json(state.eval_datasets)},
      {"last_validation_loss", trainer_state::loss_to_json(state.last_validation_loss)},
      {"best_validation_loss", trainer_state::loss_to_json(state.best_validation_loss)},
      {"best_step", trainer_state::step_to_json(state.best_step)},
      {"last_evaluation", trainer_state::step_to_json(state.last_evaluation)},
      {"without_improvement", state.without_improvement},
      {"data",
       {{"bytes", state.data_bytes},
        {"crc32c", crc_text(state.data_crc32c)},
        {"sampling", config_text::word_of(trainer_state::samplings, state.sampling)},
        {"windows_drawn", state.windows_drawn}}}};
}

inline TrainerState trainer_state_from_json(const Json& json, const std::filesystem::path& path) {
  if (member<int>(json, "format_version", path) != 1) {
    throw Error(path.string() + " was written by a newer tinygpt: use that version to go on");
  }
  TrainerState state;
  state.iteration = trainer_state::count_from_json(json, "iteration", path);
  state.updates = trainer_state::count_from_json(json, "updates", path);
  state.skipped = trainer_state::count_from_json(json, "skipped", path);
  if (state.iteration != state.updates + state.skipped) {
    throw damaged(path, "'iteration' must be the sum of 'updates' and 'skipped'");
  }
  const Json options = member<Json>(json, "options", path);
  trainer_state::for_each_option(state.options, [&](const char* name, auto& value) {
    // Written before there was accumulation: it trained without.
    if (std::string_view(name) == "grad_accum_steps" && !options.contains(name)) return;
    value = member<std::remove_reference_t<decltype(value)>>(options, name, path);
  });
  if (options.contains("recompute")) {  // written before there was a choice: it kept everything
    state.options.recompute = config_text::kind_of(config_text::recomputes, options, "recompute", path);
  }
  const TrainOptions& o = state.options;
  trainer_state::expect_ranges(o, path);
  state.checkpoint_interval = member<std::int64_t>(json, "checkpoint_interval", path);
  if (state.checkpoint_interval < 1) throw damaged(path, "'checkpoint_interval' must be 1 or more");
  state.last_validation_loss = trainer_state::loss_from_json(json, "last_validation_loss", path);
  state.best_validation_loss = trainer_state::loss_from_json(json, "best_validation_loss", path);
  if (json.contains("precision") && !json["precision"].is_null()) {
    state.precision = config_text::kind_of(config_text::precisions, json, "precision", path);
  }
  state.eval_datasets = trainer_state::eval_datasets_from_json(json, path);
  state.best_step = trainer_state::step_from_json(json, "best_step", state.iteration, path);
  state.last_evaluation = json.contains("last_evaluation")
                              ? trainer_state::step_from_json(json, "last_evaluation", state.iteration, path)
                              : state.iteration;  // written before it was said
  if (json.contains("patience")) state.patience = trainer_state::count_from_json(json, "patience", path);
  if (json.contains("without_improvement")) {
    state.without_improvement = trainer_state::count_from_json(json, "without_improvement", path);
  }
  const Json data = member<Json>(json, "data", path);
  state.data_bytes = member<std::int64_t>(data, "bytes", path);
  const auto crc = member<std::string>(data, "crc32c", path);
  if (crc.size() != 8 || crc.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw damaged(path, "'crc32c' must be eight hexadecimal digits");
  }
  state.data_crc32c = static_cast<std::uint32_t>(std::stoul(crc, nullptr, 16));
  if (data.contains("sampling")) {
    state.sampling = config_text::kind_of(trainer_state::samplings, data, "sampling", path);
    state.windows_drawn = member<std::int64_t>(data, "windows_drawn", path);
  } else {  // written before there was a choice
    state.sampling = Sampling::random;
    if (__builtin_mul_overflow(state.iteration, std::int64_t{o.batch_size} * o.grad_accum_steps,
                               &state.windows_drawn)) {
      throw damaged(path, "'iteration' is too large");
    }
  }
  if (state.windows_drawn < 0 || state.windows_drawn > std::int64_t{1} << 61) {
    throw damaged(path, "'windows_drawn' must be a number from 0 to 2^61");
  }
  return state;
}

}  // namespace tinygpt

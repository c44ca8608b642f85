// What a trainer must know, besides its arenas, to go on as if it had never stopped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <tinygpt/data/token_stream.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt {

struct TrainerState {
  std::int64_t iteration = 0;
  std::int64_t updates = 0;
  std::int64_t skipped = 0;
  TrainOptions options;
  std::int64_t checkpoint_interval = 0;
  std::optional<double> last_validation_loss, best_validation_loss;
  std::int64_t data_bytes = 0;    ///< length of the corpus
  std::uint32_t data_crc32c = 0;  ///< and its fingerprint: going on with other data would be another run
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
  return {{"format", "tinygpt-trainer"},
          {"format_version", 1},
          {"iteration", state.iteration},
          {"updates", state.updates},
          {"skipped", state.skipped},
          {"options", options_to_json(state.options)},
          {"checkpoint_interval", state.checkpoint_interval},
          {"last_validation_loss", trainer_state::loss_to_json(state.last_validation_loss)},
          {"best_validation_loss", trainer_state::loss_to_json(state.best_validation_loss)},
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
  state.iteration = member<std::int64_t>(json, "iteration", path);
  state.updates = member<std::int64_t>(json, "updates", path);
  state.skipped = member<std::int64_t>(json, "skipped", path);
  if (state.updates < 0 || state.skipped < 0 || state.iteration != state.updates + state.skipped) {
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
  if (o.batch_size < 1 || o.grad_accum_steps < 1 || o.eval_iters < 1 || o.eval_interval < 1 || o.max_iters < 1 ||
      o.dropout < 0 || o.dropout >= 1) {
    throw damaged(path, "one of its options is out of range");
  }
  state.checkpoint_interval = member<std::int64_t>(json, "checkpoint_interval", path);
  if (state.checkpoint_interval < 1) throw damaged(path, "'checkpoint_interval' must be 1 or more");
  state.last_validation_loss = trainer_state::loss_from_json(json, "last_validation_loss", path);
  state.best_validation_loss = trainer_state::loss_from_json(json, "best_validation_loss", path);
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
    if (__builtin_mul_overflow(state.iteration, std::int64_t{o.batch_size} * o.grad_accum_steps, &state.windows_drawn)) {
      throw damaged(path, "'iteration' is too large");
    }
  }
  if (state.windows_drawn < 0) throw damaged(path, "'windows_drawn' must be 0 or more");
  return state;
}

}  // namespace tinygpt

// What a preset wants and takes, and which one to recommend: calculation where documents give rules of thumb.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/memory.hpp>
#include <tinygpt/cli/tool/throughput.hpp>

namespace tinygpt::cli::tool {

/// Tokens per parameter that make the best of the computation. Source: Hoffmann et al. 2022 (arXiv:2203.15556).
inline constexpr double tokens_per_parameter = 20;
/// So many passes over the same data are almost as good as new data. Source: Muennighoff et al. 2023
/// (arXiv:2305.16264).
inline constexpr double useful_passes = 4;
/// Of English in a vocabulary of tens of thousands; a vocabulary of bytes has 1.
inline constexpr double bytes_per_token = 4;
constexpr double bytes_per_token_of(const Config& c) { return c.vocab <= byte_vocabulary ? 1 : bytes_per_token; }
inline constexpr std::int64_t most_batch = 4096;

/// How much text there is, in bytes: what models with different vocabularies can be compared by. 0: not known.
struct Data {
  double bytes = 0;
  std::string text;  ///< as a person reads it: "50.0 MB of text"

  bool known() const { return bytes > 0; }
};

struct FitRow {
  const Preset* preset = nullptr;
  Config config;  ///< the preset's, at the context that was asked for
  std::int64_t parameters = 0;
  std::int64_t largest = 0, largest_recomputing = 0;  ///< batch that fits, without and with blocks; 0: none
  Recompute recompute = Recompute::none;              ///< the least with which anything fits
  std::int64_t batch = 0, accumulation = 0;           ///< to keep the preset's tokens per step
  std::int64_t bytes = 0;                             ///< to train with `batch`, or with 1 where nothing fits
  double wanted = 0;                                  ///< bytes of text
  double rate = 0, seconds = 0;                       ///< 0: not known

  bool fits() const { return largest_recomputing > 0; }
  double tokens(double text) const { return text / bytes_per_token_of(config); }
  double seconds_for(double text) const { return rate > 0 ? tokens(text) / rate : 0; }
};

inline FitRow fit_row(const Preset& preset, int context, std::int64_t memory, TrainsOn on,
                      const std::optional<Throughput>& throughput, const Data& data) {
  FitRow row{.preset = &preset, .config = preset.config};
  if (context > 0) row.config.ctx = context;
  row.parameters = ParamTable(row.config).param_count();
  // The same text for each parameter, whatever the vocabulary: a byte tells a model less than a token of four.
  row.wanted = tokens_per_parameter * bytes_per_token * static_cast<double>(row.parameters);
  const auto largest = [&](Recompute recompute) {
    return largest_batch(row.config, memory, on, recompute, most_batch);
  };
  row.largest = largest(Recompute::none);
  row.largest_recomputing = largest(Recompute::blocks);
  std::int64_t most = row.largest;
  if (row.largest == 0) {
    const std::int64_t cheaply = largest(Recompute::activations);
    row.recompute = cheaply > 0 ? Recompute::activations : Recompute::blocks;
    most = cheaply > 0 ? cheaply : row.largest_recomputing;
  }
  const std::int64_t tokens =
      std::int64_t{preset.defaults.batch_size} * preset.defaults.grad_accum_steps * preset.config.ctx;
  const std::int64_t sequences = std::max<std::int64_t>(1, (tokens + row.config.ctx / 2) / row.config.ctx);
  if (row.fits()) {
    // The preset's own split where it fits, otherwise as few and as equal parts as do.
    const std::int64_t own = preset.config.ctx == row.config.ctx ? preset.defaults.batch_size : sequences;
    row.accumulation = (sequences + std::min(own, most) - 1) / std::min(own, most);
    row.batch = (sequences + row.accumulation - 1) / row.accumulation;
  }
  row.bytes = planned_train_bytes(row.config, std::max<std::int64_t>(row.batch, 1), on, row.recompute);
  if (throughput) {
    constexpr double repeated = 4.0 / 3;  // forward, forward again, and backward, which is two of it
    row.rate = throughput->for_model(row.config) / (row.recompute == Recompute::blocks ? repeated : 1);
    row.seconds = row.seconds_for(data.known() ? std::min(useful_passes * data.bytes, row.wanted) : row.wanted);
  }
  return row;
}

/// "3.2 h", "41 days", "2.4 years": what an estimate is worth.
inline std::string long_duration_text(double seconds) {
  if (seconds < 3600) return duration_text(seconds);
  if (seconds < 2 * 86400) return format("%.1f h", seconds / 3600);
  if (seconds < 2 * 365.25 * 86400) return format("%.0f days", seconds / 86400);
  return format("%.1f years", seconds / (365.25 * 86400));
}

/// How long training may take: in seconds, and as the user writes it.
struct Limit {
  double seconds = 86400;
  std::string text = "24h";
};

struct Recommendation {
  const FitRow* row = nullptr;
  std::string reason;                      ///< one or a few sentences
  std::vector<std::string> commands = {};  ///< of one that is adapted: what to type
};

/// A model that somebody has trained already, so that a short text is enough to adapt it.
inline constexpr const char* trained_preset = "gpt2";
inline constexpr const char* trained_by = "openai-community/gpt2";
inline constexpr double adapting_passes = 3;
/// Tokens per step when adapting: a small part of what training from nothing takes, as there are few steps.
inline constexpr std::int64_t adapting_tokens = 32768;

inline std::string text_amount(double bytes) { return size_text(static_cast<std::int64_t>(std::min(bytes, 9e18))); }

/// What to type to adapt the trained model of `row` to a text.
inline std::vector<std::string> adapting_commands(const FitRow& row, const Data& data) {
  const std::int64_t sequences = std::max<std::int64_t>(1, adapting_tokens / row.config.ctx);
  const std::int64_t most = row.recompute == Recompute::none ? row.largest : row.largest_recomputing;
  std::int64_t batch = 1;
  while (batch * 2 <= std::min({most, sequences, std::int64_t{8}})) batch *= 2;
  const auto steps = static_cast<std::int64_t>(std::clamp(
      adapting_passes * row.tokens(data.bytes) / static_cast<double>(sequences * row.config.ctx), 10.0, 1e12));
  const std::string name(row.preset->name), n = std::to_string(steps);
  return {"hf download " + std::string(trained_by) + " --local-dir " + name + "-weights",
          "tinygpt " + name + " train --init-from-model " + name +
              "-weights --input-file TEXT --out run --batch-size " + std::to_string(batch) + " --grad-accum-steps " +
              std::to_string(sequences / batch) +
              (row.recompute == Recompute::none
                   ? ""
                   : " --recompute " + config_text::word_of(config_text::recomputes, row.recompute)) +
              " --max-iters " + n + " --warmup-iters " + std::to_string(std::max<std::int64_t>(1, steps / 20)) +
              " --eval-interval " + std::to_string(std::max<std::int64_t>(1, steps / 10)) + " --learning-rate 5e-5"};
}

/// The largest that fits, that four passes over the data can feed, and that is trained within the limit; by as many of
/// the three as are known. By memory alone, the largest that trains at its own batch. A text too short for a model of
/// the size of one that is trained already is better used to adapt that one.
inline Recommendation recommend(const std::vector<FitRow>& rows, const Data& data,
                                const std::optional<Throughput>& throughput, const Limit& within) {
  const auto fed = [&](const FitRow& row) { return !data.known() || useful_passes * data.bytes >= row.wanted; };
  const auto in_time = [&](const FitRow& row) { return !throughput || row.seconds <= within.seconds; };
  const bool memory_alone = !data.known() && !throughput;
  const FitRow *best = nullptr, *smallest = nullptr, *largest = nullptr, *trained = nullptr;
  for (const FitRow& row : rows) {
    if (!row.fits()) continue;
    const bool good = fed(row) && in_time(row) && (!memory_alone || row.largest >= row.preset->defaults.batch_size);
    if (good && (!best || row.parameters > best->parameters)) best = &row;
    if (!smallest || row.parameters < smallest->parameters) smallest = &row;
    if (!largest || row.parameters > largest->parameters) largest = &row;
    if (row.preset->name == trained_preset && row.config == row.preset->config) trained = &row;
  }
  if (!smallest) return {};

  const auto name = [](const FitRow& row) { return std::string(row.preset->name); };
  const auto takes = [&](double seconds) {
    return throughput ? " Training takes " + long_duration_text(seconds) + " at " + rate_text(*throughput) + "."
                      : " How long it takes is not known: name the card with --gpu, or give --throughput-of.";
  };
  const std::string wants = "text (20 tokens per parameter, " + shown(bytes_per_token) + " bytes each)";
  if (trained && data.known() && (!best || best->parameters < trained->parameters)) {
    const double seconds = trained->seconds_for(adapting_passes * data.bytes);
    if (!throughput || seconds <= within.seconds) {
      const std::string alone = best ? "From nothing, the largest that this text can feed in at most four passes is " +
                                           name(*best) + ", with " + grouped(best->parameters) + " parameters."
                                     : "The text is too short to train any preset from nothing; " + name(*smallest) +
                                           ", the smallest, wants " + text_amount(smallest->wanted) + " of it.";
      return {
          trained,
          "OpenAI trained it on 40 GB of English, so that a short text is enough to adapt (fine-tune) it, if that is "
          "English too. " +
              alone + " Three passes over the text are enough." + takes(seconds),
          adapting_commands(*trained, data)};
    }
  }
  if (best && !memory_alone) {
    return {best, "It is the largest that fits" +
                      std::string(data.known() && throughput ? ", has enough text and is trained within " + within.text
                                  : data.known()             ? " and has enough text"
                                                             : " and is trained within " + within.text) +
                      ". It wants " + text_amount(best->wanted) + " of " + wants +
                      (data.known() ? "; at most four passes over yours give that." : ".") + takes(best->seconds)};
  }
  if (!memory_alone) {
    const std::string late = in_time(*smallest)
                                 ? takes(smallest->seconds)
                                 : " Training takes " + long_duration_text(smallest->seconds) + " at " +
                                       rate_text(*throughput) + ", longer than --within " + within.text + ".";
    return {smallest,
            "It is the smallest that fits, and wants " + text_amount(smallest->wanted) + " of " + wants + "." +
                (fed(*smallest) ? "" : " Four passes over yours give less: stop when the validation loss rises.") +
                late};
  }
  const std::string mind =
      " Time and data are not considered: --gpu or --throughput-of gives the time, --data-size the text.";
  if (best) {
    return {best, "By memory alone, it is the largest that trains at its own batch of " +
                      std::to_string(best->preset->defaults.batch_size) + "." + mind};
  }
  const std::string repeating =
      largest->recompute == Recompute::none
          ? ""
          : ", recomputing " + config_text::word_of(config_text::recomputes, largest->recompute);
  return {largest, "By memory alone, it is the largest that fits, on " + std::to_string(largest->batch) +
                       " sequences at a time" + repeating + ", with " + std::to_string(largest->accumulation) +
                       " accumulation steps." + mind};
}

}  // namespace tinygpt::cli::tool

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
inline constexpr int byte_vocabulary = 256;
inline constexpr std::int64_t most_batch = 4096;

/// 0: not known.
struct Data {
  double bytes = 0, tokens = 0;

  double tokens_for(const Config& c) const {
    return tokens > 0 ? tokens : c.vocab <= byte_vocabulary ? bytes : bytes / bytes_per_token;
  }
};

/// How much text the documents that the presets come from want for a model of this size. Their classes are tiny, small,
/// 150M, 350M and 750M; here a model belongs to the one whose size is nearest.
constexpr const char* rule_of_thumb(std::int64_t parameters) {
  if (parameters < 18'000'000) return "up to 10 MB";
  if (parameters < 70'000'000) return "up to 100 MB";
  if (parameters < 230'000'000) return "10 MB-1 GB; domain 10-50 M tokens";
  if (parameters < 510'000'000) return "100 MB-10 GB; domain 50-200 M tokens";
  return "from 1 GB; domain 100-500 M tokens";
}

struct FitRow {
  const Preset* preset = nullptr;
  Config config;  ///< the preset's, at the context that was asked for
  std::int64_t parameters = 0;
  std::int64_t largest = 0, largest_recomputing = 0;  ///< batch that fits, without and with blocks; 0: none
  Recompute recompute = Recompute::none;              ///< the least with which anything fits
  std::int64_t batch = 0, accumulation = 0;           ///< to keep the preset's tokens per step
  std::int64_t bytes = 0;                             ///< to train with `batch`, or with 1 where nothing fits
  double wanted = 0;                                  ///< tokens
  double rate = 0, seconds = 0;                       ///< 0: not known

  bool fits() const { return largest_recomputing > 0; }
};

inline FitRow fit_row(const Preset& preset, int context, std::int64_t memory, TrainsOn on,
                      const std::optional<Throughput>& throughput, const Data& data) {
  FitRow row{.preset = &preset, .config = preset.config};
  if (context > 0) row.config.ctx = context;
  row.parameters = ParamTable(row.config).param_count();
  row.wanted = tokens_per_parameter * static_cast<double>(row.parameters);
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
    const double available = useful_passes * data.tokens_for(row.config);
    constexpr double repeated = 4.0 / 3;  // forward, forward again, and backward, which is two of it
    row.rate = throughput->for_model(row.config) / (row.recompute == Recompute::blocks ? repeated : 1);
    row.seconds = (available > 0 ? std::min(available, row.wanted) : row.wanted) / row.rate;
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

struct Recommendation {
  const FitRow* row = nullptr;
  std::string reason;
};

/// How long training may take: in seconds, and as the user writes it.
struct Limit {
  double seconds = 86400;
  std::string text = "24h";
};

/// The largest that fits, that four passes over the data can feed, and that is trained within the limit; by as many of
/// the three as are known. By memory alone, the largest that trains at its own batch.
inline Recommendation recommend(const std::vector<FitRow>& rows, const Data& data,
                                const std::optional<Throughput>& throughput, const Limit& within) {
  const bool know_data = data.bytes > 0 || data.tokens > 0;
  const auto fed = [&](const FitRow& row) {
    return !know_data || useful_passes * data.tokens_for(row.config) >= row.wanted;
  };
  const auto in_time = [&](const FitRow& row) { return !throughput || row.seconds <= within.seconds; };
  const bool memory_alone = !know_data && !throughput;
  const FitRow *best = nullptr, *smallest = nullptr, *largest = nullptr;
  for (const FitRow& row : rows) {
    if (!row.fits()) continue;
    const bool good = fed(row) && in_time(row) && (!memory_alone || row.largest >= row.preset->defaults.batch_size);
    if (good && (!best || row.parameters > best->parameters)) best = &row;
    if (!smallest || row.parameters < smallest->parameters) smallest = &row;
    if (!largest || row.parameters > largest->parameters) largest = &row;
  }
  if (!smallest) return {nullptr, "no preset trains in this memory, not even on one sequence at a time"};

  const auto wanted = [](const FitRow& row) { return short_count(row.wanted) + " tokens"; };
  const auto there = [&](const FitRow& row) { return short_count(data.tokens_for(row.config)) + " tokens of data"; };
  const auto time = [&](const FitRow& row) {
    return long_duration_text(row.seconds) + " at " + rate_text(throughput.value());
  };
  if (best && !memory_alone) {
    return {best, "the largest that fits and whose " + wanted(*best) + " (20 per parameter) " +
                      (know_data ? "come from " + there(*best) + " in at most four passes" : "") +
                      (know_data && throughput ? " and " : "") +
                      (throughput ? "are trained on within " + within.text + ": " + time(*best)
                                  : "; for how long is not known without --throughput-of or --tokens-per-second")};
  }
  if (!memory_alone) {
    const std::string late = in_time(*smallest) ? "" : time(*smallest) + ", longer than --within " + within.text;
    if (fed(*smallest)) return {smallest, "the smallest that fits; its " + wanted(*smallest) + " take " + late};
    return {smallest, "the smallest that fits; it wants " + wanted(*smallest) + ", and four passes over " +
                          there(*smallest) + " give less, so stop when the validation loss rises" +
                          (late.empty() ? "" : "; those passes take " + late)};
  }
  const std::string mind =
      "; --throughput-of or --tokens-per-second would make the answer mind the time, and "
      "--data-size or --tokens the data";
  if (best) {
    return {best, "by memory alone, the largest that trains at its own batch of " +
                      std::to_string(best->preset->defaults.batch_size) + mind};
  }
  const std::string repeating =
      largest->recompute == Recompute::none
          ? ""
          : ", recomputing " + config_text::word_of(config_text::recomputes, largest->recompute);
  return {largest, "by memory alone, the largest that fits, on " + std::to_string(largest->batch) +
                       " sequences at a time" + repeating + ", with " + std::to_string(largest->accumulation) + " accumulation steps" +
                       mind};
}

}  // namespace tinygpt::cli::tool

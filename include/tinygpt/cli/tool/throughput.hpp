// How fast training is: measured by an earlier run, stated, or assumed.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/memory.hpp>
#include <tinygpt/graphics_cards.hpp>
#include <tinygpt/io/model_config.hpp>
#include <tinygpt/io/run_directory.hpp>

namespace tinygpt::cli::tool {

/// How a rate is known.
enum class Evidence { measured, stated, assumed };

/// What a thread of a machine that nobody has measured keeps up in training, in FLOPs per second: a quarter of the 85
/// billion that docs/benchmarks/cpu.md has for a core (tokens per second x FLOPs per token), since vectors half as wide
/// halve it, and two threads on one core once more.
inline constexpr double assumed_flops = 20e9;

/// The part of a card's stated rate that training is assumed to keep up; well-tuned programs reach 35 to 50 % on large
/// models, and small models less.
inline constexpr double assumed_utilisation = 0.3;

/// How fast training is, in FLOPs per second, which hold for every architecture.
struct Throughput {
  double flops_per_second = 0;
  Evidence evidence = Evidence::measured;
  std::string source;

  /// Tokens per second.
  double for_model(const Config& c) const { return flops_per_second / train_flops(c); }

  /// Of one token. The backward pass costs twice the forward pass.
  static double train_flops(const Config& c) { return 3 * static_cast<double>(forward_flops_per_token(c, c.ctx)); }
};

/// "the measured rate".
inline std::string rate_text(const Throughput& t) {
  constexpr const char* words[] = {"measured", "stated", "assumed"};
  return std::string("the ") + words[static_cast<int>(t.evidence)] + " rate";
}

inline Throughput assumed_throughput(int threads) {
  return {.flops_per_second = assumed_flops * threads,
          .evidence = Evidence::assumed,
          .source = format("%g GFLOP/s for each of %d threads, a quarter of what docs/benchmarks/cpu.md has for a core",
                           assumed_flops / 1e9, threads)};
}

/// Nothing where the card's rate in these numbers is not known.
inline std::optional<Throughput> assumed_throughput(const GraphicsCard& card, Precision precision) {
  const double peak = precision == bf16 ? card.peak_bf16() : card.peak_float32();
  if (peak == 0) return std::nullopt;
  return Throughput{.flops_per_second = assumed_utilisation * peak,
                    .evidence = Evidence::assumed,
                    .source = format("%g %% of the %.4g TFLOP/s that %s has at best in %s; small models reach less",
                                     100 * assumed_utilisation, peak / 1e12, with_article(card.name).c_str(),
                                     config_text::word_of(config_text::precisions, precision).c_str())};
}

/// A rate in tokens per second of the architecture `of`.
inline Throughput known_throughput(double tokens_per_second, const Config& of, Evidence evidence, std::string source) {
  return {tokens_per_second * Throughput::train_flops(of), evidence, std::move(source)};
}

/// The median of the last hundred iterations of a run's metrics.jsonl; the architecture is that of the checkpoints
/// beside the file, or `of`.
inline Throughput measured_throughput(std::filesystem::path path, const Config* of) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) path /= "metrics.jsonl";
  const std::string text = read_small_file(path, std::int64_t{256} << 20);
  std::vector<double> rates;
  for (std::size_t end = text.size(); end > 0 && rates.size() < 100;) {
    const std::size_t newline = text.rfind('\n', end - 1);
    const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
    const Json line = Json::parse(std::string_view(text).substr(begin, end - begin), nullptr, false);
    if (line.is_object() && line.contains("tokens_per_second") && line["tokens_per_second"].is_number()) {
      const double rate = line["tokens_per_second"].get<double>();
      if (rate > 0 && rate < 1e15) rates.push_back(rate);
    }
    if (newline == std::string::npos) break;
    end = newline;
  }
  if (rates.empty()) {
    throw Error(path.string() + " holds no rates: give the metrics.jsonl of a training run with --throughput-of");
  }
  std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2), rates.end());
  const double median = rates[rates.size() / 2];
  if (of != nullptr) return known_throughput(median, *of, Evidence::measured, path.string());
  const std::filesystem::path run = path.has_parent_path() ? path.parent_path() : ".";
  if (RunDirectory(run).steps().empty()) {
    throw UsageError(path.string() +
                     " has no checkpoint beside it that says which model it is: name the preset with "
                     "--measured-on");
  }
  const ModelConfig said = load_newest(
      run, [](const auto& step) { return read_model_config(ModelReader(step)); }, [](const char*) {});
  return known_throughput(median, said.config, Evidence::measured, path.string());
}

}  // namespace tinygpt::cli::tool

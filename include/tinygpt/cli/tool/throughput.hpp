// How fast training is: measured by an earlier run, stated, or assumed.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/io/run_directory.hpp>

namespace tinygpt::cli::tool {

/// How a rate is known.
enum class Evidence { measured, stated, assumed };

/// What a thread of a machine that nobody has measured keeps up in training, in FLOPs per second: a quarter of the 85
/// billion that docs/benchmarks/cpu.md has for a core (tokens per second x FLOPs per token), since vectors half as wide
/// halve it, and two threads on one core once more.
inline constexpr double assumed_flops = 20e9;

/// How fast training is: in FLOPs per second, which hold for every architecture, or, where it is not known on which one
/// the rate was measured, in tokens per second of every model alike. The other one is 0.
struct Throughput {
  double flops_per_second = 0, tokens_per_second = 0;
  Evidence evidence = Evidence::measured;
  std::string source;

  double for_model(const Config& c) const {
    return tokens_per_second > 0 ? tokens_per_second : flops_per_second / train_flops(c);
  }

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
          .source = format("%g GFLOP/s for each of %d threads", assumed_flops / 1e9, threads)};
}

/// A rate in tokens per second, of the architecture `of` where that is known.
inline Throughput known_throughput(double tokens_per_second, const Config* of, Evidence evidence, std::string source) {
  Throughput t{.evidence = evidence, .source = std::move(source)};
  (of ? t.flops_per_second : t.tokens_per_second) = tokens_per_second * (of ? Throughput::train_flops(*of) : 1);
  return t;
}

/// The median of the last hundred iterations of a run's metrics.jsonl; the architecture is that of the checkpoints
/// beside the file.
inline Throughput measured_throughput(std::filesystem::path path) {
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
  const RunDirectory run(path.parent_path().empty() ? "." : path.parent_path());
  if (const auto steps = run.steps(); !steps.empty()) {
    const auto config = run.step_path(steps.front()) / "config.json";
    const Config of = config_from_json(member<Json>(read_json(config), "architecture", config), config);
    return known_throughput(median, &of, Evidence::measured, path.string());
  }
  return known_throughput(median, nullptr, Evidence::measured, path.string());
}

}  // namespace tinygpt::cli::tool

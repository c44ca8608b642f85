// How fast training is: measured by an earlier run, or stated.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/io/run_directory.hpp>

namespace tinygpt::cli::tool {

/// Tokens per second, and of which architecture; without one the rate is taken for every model as it is.
struct Throughput {
  double tokens_per_second = 0;
  std::optional<Config> of;
  std::string source;

  /// The rate of another architecture, if the machine does as many FLOPs per second there.
  double for_model(const Config& c) const {
    if (!of) return tokens_per_second;
    return tokens_per_second * static_cast<double>(forward_flops_per_token(*of, of->ctx)) /
           static_cast<double>(forward_flops_per_token(c, c.ctx));
  }
};

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
  Throughput throughput{rates[rates.size() / 2], std::nullopt, path.string()};
  const RunDirectory run(path.parent_path().empty() ? "." : path.parent_path());
  if (const auto steps = run.steps(); !steps.empty()) {
    const auto config = run.step_path(steps.front()) / "config.json";
    throughput.of = config_from_json(member<Json>(read_json(config), "architecture", config), config);
  }
  return throughput;
}

}  // namespace tinygpt::cli::tool

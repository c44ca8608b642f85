// What the commands of the tool share: presets by name, sizes that people write, JSON that keeps its order.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/cli/flags.hpp>
#include <tinygpt/cli/table.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/layout/memory.hpp>
#include <tinygpt/presets/all.hpp>

namespace tinygpt::cli::tool {

/// A vocabulary of so many tokens or fewer is one of bytes.
inline constexpr int byte_vocabulary = 256;

/// A JSON object whose members stay in the order in which they were added.
using Report = nlohmann::ordered_json;

inline Exit print(const Report& report) {
  std::printf("%s\n", report.dump(2, ' ', false, Report::error_handler_t::replace).c_str());
  return Exit::done;
}

inline std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets::registry) names.emplace_back(preset.name);
  return names;
}

/// ": did you mean 150M, 150M_1024 or 250M?", or `otherwise` where nothing is near.
inline std::string did_you_mean(std::string_view word, const std::vector<std::string>& choices,
                                const std::string& otherwise) {
  const auto near = nearest_words(word, choices, 3);
  if (near.empty()) return ": " + otherwise;
  std::string text = ": did you mean ";
  for (std::size_t i = 0; i < near.size(); ++i) text += (i == 0 ? "" : i + 1 < near.size() ? ", " : " or ") + near[i];
  return text + "?";
}

inline const Preset& preset_named(std::string_view name) {
  if (const Preset* const preset = presets::find(name)) return *preset;
  throw UsageError("there is no preset '" + printable(name) + "'" +
                   did_you_mean(name, preset_names(), "tinygpt presets lists them all"));
}

/// The presets that stand for the others in a short list: each size once.
inline bool in_short_list(const Preset& preset) {
  constexpr std::string_view names[] = {"tiny_char", "small_char", "tiny", "small", "gpt2", "gpt2_medium", "gpt_1B", "gpt2_xl"};
  return std::find(std::begin(names), std::end(names), preset.name) != std::end(names);
}

inline std::string heads_text(const Config& c) {
  return std::to_string(c.query_heads) + "/" + std::to_string(c.kv_heads);
}

/// Bytes to train as the preset's defaults say: one batch of full contexts at a time.
inline std::int64_t default_train_bytes(const Preset& p, Precision precision = float32) {
  return train_bytes(p.config, Batch{p.defaults.batch_size}, Time{p.config.ctx}, precision);
}

/// "8GiB", "50MB", "1.5G" (GiB), "8589934592" in bytes. A bare number below `least` has lost its unit, which was `usual`.
inline std::int64_t parse_bytes(std::string_view flag, std::string_view text, double least, std::string_view usual) {
  double value = 0;
  const auto [at, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit(at, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size() : unit.find_first_not_of(' '));
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t power = unit.empty() || unit == "b" ? 0 : std::string_view(" kmgt").find(unit[0]);
  const std::string rest = unit.empty() || power == 0 ? "" : unit.substr(1);
  const bool binary = rest == "ib" || rest.empty(), decimal = rest == "b";
  double bytes = value;
  for (std::size_t i = 0; power != std::string_view::npos && i < power; ++i) bytes *= decimal ? 1000 : 1024;
  if (text.empty() || fault != std::errc{} || power == std::string_view::npos || !(binary || decimal) ||
      !(bytes >= 1) || bytes > 1e18) {
    throw UsageError(std::string(flag) + " must be a size such as 8GiB or 50MB, not '" + printable(text) +
                     "': see --help");
  }
  if (unit.empty() && bytes < least) {
    throw UsageError(std::string(flag) + " " + printable(text) + " would be " + printable(text) + " bytes: write " +
                     printable(text) + std::string(usual));
  }
  return static_cast<std::int64_t>(bytes);
}

/// "10M", "1.5B", "250000": a count of tokens.
inline double parse_count(std::string_view flag, std::string_view text) {
  double value = 0;
  const auto [at, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(at, static_cast<std::size_t>(text.data() + text.size() - at));
  const double scale = unit.empty()                                               ? 1
                       : unit == "k" || unit == "K"                               ? 1e3
                       : unit == "m" || unit == "M"                               ? 1e6
                       : unit == "g" || unit == "G" || unit == "b" || unit == "B" ? 1e9
                       : unit == "t" || unit == "T"                               ? 1e12
                                                                                  : 0;
  if (text.empty() || fault != std::errc{} || !(value * scale >= 1) || value * scale > 1e18) {
    throw UsageError(std::string(flag) + " must be a count such as 250000, 10M or 1.5B, not '" + printable(text) +
                     "': see --help");
  }
  return value * scale;
}

/// "90m", "24h", "1.5d": a time in seconds.
inline double parse_duration(std::string_view flag, std::string_view text) {
  double value = 0;
  const auto [at, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(at, static_cast<std::size_t>(text.data() + text.size() - at));
  const double scale = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : unit == "d" ? 86400 : 0;
  if (fault != std::errc{} || !(value * scale >= 1) || value * scale > 1e12) {
    throw UsageError(std::string(flag) + " must be a time such as 90m, 24h or 7d, not '" + printable(text) +
                     "': see --help");
  }
  return value * scale;
}

/// A flag whose value is a word or path, kept as it is; a forgotten value is refused.
inline void add_text(CLI::App& app, const char* flag, const std::string& help, const char* type, std::string& value) {
  const auto set = [&value, flag](const std::string& text) {
    if (text.empty() || text.starts_with("--")) {
      throw UsageError(std::string(flag) + " needs a value after it, not '" + printable(text) + "': see --help");
    }
    value = text;
  };
  app.add_option_function<std::string>(flag, set, help)->type_name(type)->take_last();
}

}  // namespace tinygpt::cli::tool

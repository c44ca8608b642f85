// The flags of tinygpt prepare, and the sources that they name.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/left_out.hpp>
#include <tinygpt/prepare/assemble.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli::tool {

struct PrepareFlags {
  static constexpr const char *command = "prepare", *about = "Turn text into a dataset to train on";
  std::vector<std::string> sources, weights, mix, exclude;
  std::string tokenizer, out, total_tokens, separator;
  prepare::Job job;
  prepare::AssembleOptions options;
  bool append = false, json = false;
};

inline void add_texts(CLI::App& app, const char* flag, const std::string& help, const char* type,
                      std::vector<std::string>& values) {
  app.add_option(flag, values, help)->type_name(type)->allow_extra_args(false);
}

inline void add_flags(CLI::App& app, PrepareFlags& flags) {
  using prepare::Job;
  flags.job.threads = std::min(hardware_threads(), 8);
  group(app, "Sources");
  add_texts(app, "--source",
            "Files, folders or patterns, under a name: plain text or JSONL (.jsonl), also .gz and .zst; "
            "repeatable",
            "[NAME:]GLOB[,GLOB]", flags.sources);
  add_exclude(app, flags.exclude);
  add_texts(app, "--weight", "Share of a source (default: as much as there is); repeatable",
            "NAME:W", flags.weights);
  add_texts(app, "--mix", "Instead of sources: a prepared dataset, and its weight; repeatable", "DIR:RATIO", flags.mix);
  group(app, "Output");
  add_path(app, "--out", "Directory of the dataset; required", "DIR", flags.out);
  app.add_flag("--append", flags.append, "Add the sources to the dataset that --out holds, with its tokenizer");
  add_path(app, "--tokenizer",
           "bytes, characters (those of the sources), or a tokenizer's directory or file "
           "(default bytes)",
           "WHAT", flags.tokenizer);
  group(app, "Mixture");
  add_text(app, "--total-tokens", "Tokens to train on, such as 10M (default as many as there are)", "N",
           flags.total_tokens);
  app.add_flag("--repeat", flags.options.mixture.repeat, "Repeat a source that is too small for its share");
  add_number<double>(app, "--max-repeat", "Times that a source is repeated at most", "4",
                     Range<double>{"a number of 1 or more", [](double x) { return x >= 1 && x <= 1e6; }},
                     [&](double x) {
                       flags.options.mixture.max_repeat = x;
                       flags.options.mixture.repeat = true;
                     });
  add_number<double>(app, "--val-fraction", "Part of each source for validation, by whole documents", "0.05", below_one,
                     [&](double x) { flags.options.val_fraction = x; });
  group(app, "Reading and cleaning");
  add_text(app, "--field", "Member of a JSONL row that holds the text (default text)", "NAME", flags.job.field);
  add_text(app, "--separator",
           "What ends a document in plain text, such as '<|endoftext|>' (default: the end of the file)", "TEXT",
           flags.job.separator);
  app.add_flag_callback(
      "--allow-special", [&flags] { flags.job.special = SpecialText::allowed; },
      "Where a text names a special token of the tokenizer, take that token: for your own texts only");
  app.add_flag("--deduplicate", flags.options.deduplicate, "Leave out exact duplicates of documents");
  add_number<std::int64_t>(app, "--min-bytes", "Leave out shorter documents", "1", positive,
                           [&](std::int64_t n) { flags.job.filters.min_bytes = n; });
  add_number<std::int64_t>(app, "--max-bytes", "Leave out longer documents", "none", positive,
                           [&](std::int64_t n) { flags.job.filters.max_bytes = n; });
  app.add_flag("--lowercase", flags.job.filters.lowercase, "Convert to lower case");
  app.add_flag("--squeeze-whitespace", flags.job.filters.squeeze_whitespace, "Collapse repeated spaces and blank lines");
  app.add_flag("--skip-bad", flags.job.skip_bad, "Leave out rows, texts and files that cannot be read, and say which");
  group(app, "Shards and machine");
  add_number<std::int64_t>(app, "--shard-tokens", "Tokens in a shard", "100000000",
                           Range<std::int64_t>{"a whole number from 1000 to 2147483647",
                                               [](std::int64_t n) { return n >= 1000 && n <= 2147483647; }},
                           [&](std::int64_t n) { flags.options.shard_tokens = n; });
  add_number<int>(app, "--threads", "Threads that encode", std::to_string(flags.job.threads),
                  Range<int>{"a whole number from 1 to 256", [](int n) { return n >= 1 && n <= 256; }},
                  [&](int n) { flags.job.threads = n; });
  app.add_flag("--json", flags.json, "Print the report as JSON");
}

namespace preparation {

/// "NAME:W" of a flag. The name may hold colons.
inline std::pair<std::string, double> weighted(const char* flag, const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    throw UsageError(std::string(flag) + " must be a name, a colon and a number, not '" + printable(text) +
                     "': see --help");
  }
  return {text.substr(0, colon), parse_number<double>(flag, std::string_view(text).substr(colon + 1), not_negative)};
}

inline void refuse_zero_weights(const char* flag, const std::vector<double>& weights) {
  if (weights.empty() || std::any_of(weights.begin(), weights.end(), [](double w) { return w > 0; })) return;
  throw UsageError("the weights of " + std::string(flag) + " sum to zero: nothing would be left, so give one above 0");
}

/// The sources with their weights. A source of weight 0 is left out.
inline std::vector<prepare::Source> sources(const PrepareFlags& flags) {
  std::vector<prepare::Source> sources;
  for (const std::string& text : flags.sources) {
    try {
      sources.push_back(prepare::parse_source(text, {flags.exclude, flags.job.skip_bad}));
    } catch (const prepare::SourceSyntax& error) {
      throw UsageError(error.what());
    }
    for (std::size_t i = 0; i + 1 < sources.size(); ++i) {
      if (sources[i].name == sources.back().name) {
        throw UsageError("two sources are called " + sources[i].name +
                         ": give patterns of one source after a comma, or names with --source NAME:GLOB");
      }
    }
  }
  std::vector<double> weights;
  std::vector<std::string> left_out;
  for (const std::string& text : flags.weights) {
    const auto [name, weight] = weighted("--weight", text);
    const auto of =
        std::find_if(sources.begin(), sources.end(), [&name = name](const auto& s) { return s.name == name; });
    if (of == sources.end()) {
      throw UsageError("--weight " + printable(text) + ": there is no --source " + printable(name) +
                       ": check the name");
    }
    of->weight = weight;
    weights.push_back(weight);
    if (weight == 0) left_out.push_back(name);
  }
  if (weights.size() == sources.size()) refuse_zero_weights("--weight", weights);
  std::erase_if(sources,
                [&](const auto& s) { return std::find(left_out.begin(), left_out.end(), s.name) != left_out.end(); });
  return sources;
}

}  // namespace preparation
}  // namespace tinygpt::cli::tool

// tinygpt data info: what a dataset holds, whether it is enough for a run, and what its text looks like.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/validate.hpp>
#include <tinygpt/io/dataset_shards.hpp>
#include <tinygpt/io/tokenizer_files.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt::cli::tool {

struct DataInfoFlags {
  std::string directory, tokenizer, tokens, preset;
  std::int64_t max_iters = 0;
  int batch_size = 0, samples = 2;
  bool json = false;
};

/// info is a command of its own below "data".
struct DataFlags {
  static constexpr const char *command = "data", *about = "Say what a dataset holds";
  DataInfoFlags info;
  CLI::App* info_app = nullptr;
};

inline void add_flags(CLI::App& app, DataFlags& flags) {
  CLI::App& info = *app.add_subcommand("info", "Say what a dataset holds, and whether it is enough");
  DataInfoFlags& f = flags.info;
  flags.info_app = &info;
  info.add_option("DIR", f.directory, "Directory of the dataset; required");
  add_path(info, "--tokenizer", "Its tokenizer, where the directory has none", "PATH", f.tokenizer);
  add_text(info, "--tokens", "A planned run: tokens that it sees, such as 10M", "N", f.tokens);
  add_text(info, "--preset", "A planned run, instead: of this preset, with its defaults", "NAME", f.preset);
  add_number<std::int64_t>(info, "--max-iters", "Iterations of that run", "the preset's", positive,
                           [&](std::int64_t n) { f.max_iters = n; });
  add_number<int>(info, "--batch-size", "Sequences per iteration of that run", "the preset's", positive_int,
                  [&](int n) { f.batch_size = n; });
  add_number<int>(info, "--samples", "Documents to show", "2", zero_or_more_int, [&](int n) { f.samples = n; });
  info.add_flag("--json", f.json, "Print JSON");
}

namespace data_info {

struct Split {
  const char* name;
  CheckedShards checked;
  std::optional<std::int64_t> documents;
};

/// How often a run sees each token, and what that means. Source: Muennighoff et al. 2023 (arXiv:2305.16264), section 6:
/// up to 4 epochs repeated data is nearly as good as new, at 16 it is worth much less, and beyond 40 nothing.
struct Coverage {
  double tokens = 0;  ///< that the run sees
  double times = 0;   ///< each token

  const char* advice() const {
    if (times <= 1) return "no token is seen twice: there is enough";
    if (times <= 4) return "repeating so often costs little: there is enough";
    if (times <= 16) return "repeated text teaches less each time: add data if you can";
    if (times <= 40) return "repeated text teaches little more: add data";
    return "repeating so often teaches nothing: add data, or train for fewer iterations";
  }
};

inline std::optional<Coverage> coverage(const DataInfoFlags& flags, std::int64_t there) {
  double tokens = 0;
  if (!flags.tokens.empty() && !flags.preset.empty()) {
    throw UsageError("--tokens and --preset contradict each other: leave one of them out");
  }
  if (flags.preset.empty() && (flags.max_iters > 0 || flags.batch_size > 0)) {
    throw UsageError("--max-iters and --batch-size are of the run of a --preset: give its name");
  }
  if (!flags.tokens.empty()) tokens = parse_count("--tokens", flags.tokens);
  if (!flags.preset.empty()) {
    const Preset& preset = preset_named(flags.preset);
    const TrainOptions& o = preset.defaults;
    tokens = static_cast<double>(flags.max_iters > 0 ? flags.max_iters : o.max_iters) * o.grad_accum_steps *
             (flags.batch_size > 0 ? flags.batch_size : o.batch_size) * preset.config.ctx;
  }
  if (tokens == 0 || there == 0) return std::nullopt;
  return Coverage{tokens, tokens / static_cast<double>(there)};
}

/// The bytes of text in about a million tokens from all over a split.
inline std::optional<double> bytes_per_token(const CheckedShards& checked, const Tokenizer& tokenizer) {
  std::int64_t tokens = 0, bytes = 0;
  std::vector<std::int32_t> ids;
  const std::int64_t piece = std::int64_t{1} << 12, step = std::max<std::int64_t>(checked.tokens() / 256, piece);
  for (const TokenShard& shard : checked.shards) {
    for (std::int64_t at = 0; at < shard.size(); at += step) {
      ids.resize(static_cast<std::size_t>(std::min(piece, shard.size() - at)));
      shard.read(at, ids);
      for (const std::int32_t id : ids) {
        if (tokenizer.is_special(id)) continue;
        ++tokens;
        bytes += static_cast<std::int64_t>(tokenizer.decode(id).size());
      }
    }
  }
  if (tokens == 0) return std::nullopt;
  return static_cast<double>(bytes) / static_cast<double>(tokens);
}

/// Of some tokens the first that begins a paragraph, else a line, else a word; 0 where none does.
inline std::size_t next_beginning(const std::vector<std::int32_t>& ids, const Tokenizer& tokenizer) {
  constexpr std::size_t near = 1024;
  std::size_t line = 0, word = 0;
  char before = '\0', last = '\0';  // the two bytes before a token
  for (std::size_t i = 0; i < std::min(ids.size(), near); ++i) {
    const std::string_view text = tokenizer.decode(ids[i]);
    if (text.empty()) continue;
    if (i > 0 && last == '\n' && text[0] != '\n') {
      if (before == '\n') return i;
      if (line == 0) line = i;
    }
    const bool after_space = last == ' ' && text[0] != ' ', with_space = text[0] == ' ' && text.size() > 1;
    if (i > 0 && word == 0 && (after_space || with_space)) word = i;
    before = text.size() > 1 ? text[text.size() - 2] : last;
    last = text.back();
  }
  return line != 0 ? line : word;
}

/// The beginnings of documents at equal distances in a split; where no token ends a document, those of paragraphs.
inline std::vector<std::string> samples(const CheckedShards& checked, const Tokenizer& tokenizer, int count) {
  constexpr std::int64_t window = 4096;
  constexpr std::size_t shown = 300;
  std::vector<std::string> samples;
  const auto end = tokenizer.end_of_text();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < count; ++i) {
    std::int64_t at = checked.tokens() / count * i;
    const auto shard = std::find_if(checked.shards.begin(), checked.shards.end(), [&](const TokenShard& s) {
      if (at < s.size()) return true;
      at -= s.size();
      return false;
    });
    if (shard == checked.shards.end()) break;
    ids.resize(static_cast<std::size_t>(std::min(window, shard->size() - at)));
    shard->read(at, ids);
    auto first = ids.begin();
    // The beginning of the next document, or else of a paragraph, line or word, if it is near.
    if (end && at > 0) {
      const auto next = std::find(ids.begin(), ids.end(), *end);
      if (next != ids.end() && next + 1 != ids.end()) first = next + 1;
    }
    if (at > 0 && first == ids.begin()) first += static_cast<std::ptrdiff_t>(next_beginning(ids, tokenizer));
    Utf8Stream text(Controls::escape);
    std::string sample;
    for (; first != ids.end() && sample.size() < shown && (!end || *first != *end); ++first) {
      sample += text.push(tokenizer.decode(*first));
    }
    samples.push_back(sample);
  }
  return samples;
}

/// What a person should know who trains this preset on a dataset whose ids are below `vocab`; empty where all is well.
inline std::string vocabulary_remark(const Preset& preset, int vocab) {
  const int rows = preset.config.vocab;
  const std::string both =
      "the data has " + grouped(vocab) + " ids, and " + std::string(preset.name) + " has rows for " + grouped(rows);
  if (vocab > rows) return both + ": it cannot be trained on this data";
  if (vocab >= rows - rows / 10) return "";
  return both + ": " + grouped(rows - vocab) + " of them would never be used: take a preset with a vocabulary near " +
         grouped(vocab) + ", or prepare the data with a tokenizer of about " + grouped(rows) + " tokens";
}

inline const char* kind_text(DatasetKind kind) {
  switch (kind) {
    case DatasetKind::prepared:
      return "prepared by tinygpt";
    case DatasetKind::llmc:
      return "shards of llm.c";
    case DatasetKind::nanogpt:
      return "nanoGPT's train.bin and val.bin";
    case DatasetKind::raw:
      break;
  }
  return "raw tokens";
}

inline void print_sources(const Json& json) {
  if (!json.is_object() || !json.contains("sources") || !json["sources"].is_array()) return;
  std::vector<std::vector<std::string>> rows{
      {"source", "documents", "text", "to train on", "times", "to validate with"}};
  const auto number = [](const Json& source, const char* key) -> std::int64_t {
    return source.contains(key) && source[key].is_number_integer() ? source[key].get<std::int64_t>() : 0;
  };
  for (const Json& source : json["sources"]) {
    if (!source.is_object()) continue;
    const auto name = source.find("name");
    const double times =
        source.contains("repeated") && source["repeated"].is_number() ? source["repeated"].get<double>() : 0;
    rows.push_back(
        {name != source.end() && name->is_string() ? printable(name->get<std::string>()) : "?",
         grouped(number(source, "documents")), number(source, "bytes") > 0 ? size_text(number(source, "bytes")) : "-",
         grouped(number(source, "train_tokens")), format("%.2f", times), grouped(number(source, "val_tokens"))});
  }
  std::printf("\n%s", table_text(rows, "lrrrrr", Header::yes).c_str());
}

}  // namespace data_info

inline Exit run(const DataInfoFlags& flags) {
  if (flags.directory.empty()) throw UsageError("data info needs the directory of a dataset: see --help");
  const Dataset dataset = read_dataset(flags.directory);
  std::optional<Tokenizer> tokenizer;
  const auto own = std::filesystem::path(flags.directory) / "tokenizer.json";
  if (!flags.tokenizer.empty() || std::filesystem::exists(own)) {
    tokenizer = load_tokenizer(flags.tokenizer.empty() ? own : std::filesystem::path(flags.tokenizer));
  }
  // Every id is looked at, so that a dataset of which this says nothing bad can be trained on.
  const int vocab = tokenizer ? tokenizer->size() : dataset.vocab.value_or(std::numeric_limits<int>::max());
  data_info::Split splits[] = {
      {"train", open_shards(dataset, dataset.train, vocab, 2), dataset.train.documents},
      {"val", open_shards(dataset, dataset.validation, vocab, 2), dataset.validation.documents}};
  const CheckedShards& train = splits[0].checked;
  const auto compression = tokenizer ? data_info::bytes_per_token(train, *tokenizer) : std::nullopt;
  const auto coverage = data_info::coverage(flags, train.tokens());
  const std::optional<int> ids = tokenizer ? std::optional(tokenizer->size()) : dataset.vocab;
  const std::string remark =
      ids && !flags.preset.empty() ? data_info::vocabulary_remark(preset_named(flags.preset), *ids) : std::string();
  const auto samples = tokenizer ? data_info::samples(train, *tokenizer, flags.samples) : std::vector<std::string>();

  if (flags.json) {
    Report report{{"directory", flags.directory},
                  {"kind", data_info::kind_text(dataset.kind)},
                  {"tokenizer", tokenizer ? Report(tokenizer->description()) : Report(nullptr)},
                  {"tokenizer_hash", tokenizer ? Report(hash_text(tokenizer->hash())) : Report(nullptr)},
                  {"bytes_per_token", compression ? Report(*compression) : Report(nullptr)}};
    for (const auto& split : splits) {
      report["splits"][split.name] = {{"tokens", split.checked.tokens()},
                                      {"documents", split.documents ? Report(*split.documents) : Report(nullptr)},
                                      {"shards", split.checked.shards.size()},
                                      {"bytes", split.checked.bytes}};
    }
    if (coverage) {
      report["coverage"] = {{"tokens", coverage->tokens}, {"times", coverage->times}, {"advice", coverage->advice()}};
    }
    if (!remark.empty()) report["remark"] = remark;
    report["samples"] = samples;
    return print(report);
  }
  std::printf("%s: %s; %s\n\n", one_line(flags.directory).c_str(), data_info::kind_text(dataset.kind),
              tokenizer ? tokenizer->description().c_str() : "no tokenizer.json");
  std::vector<std::vector<std::string>> rows{{"split", "tokens", "documents", "shards", "on disk"}};
  for (const auto& split : splits) {
    rows.push_back({split.name, grouped(split.checked.tokens()), split.documents ? grouped(*split.documents) : "-",
                    std::to_string(split.checked.shards.size()), size_text(split.checked.bytes)});
  }
  std::printf("%s", table_text(rows, "lrrrr", Header::yes).c_str());
  data_info::print_sources(dataset.json);
  if (compression) std::printf("\n%.2f bytes of text a token\n", *compression);
  if (coverage) {
    std::printf("\na run of %s tokens sees each %.2f times: %s\n",
                grouped(static_cast<std::int64_t>(coverage->tokens)).c_str(), coverage->times, coverage->advice());
  }
  if (!remark.empty()) std::printf("\n! %s\n", remark.c_str());
  for (const std::string& sample : samples) std::printf("\n--------\n%s ...\n", sample.c_str());
  return Exit::done;
}

inline Exit run(const DataFlags& flags) {
  if (!flags.info_app->parsed()) throw UsageError("data needs a command: write info after it, or --help");
  return run(flags.info);
}

}  // namespace tinygpt::cli::tool

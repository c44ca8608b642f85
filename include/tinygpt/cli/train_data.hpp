// The data of a training run: a text file or a directory of shards becomes a tokenizer and streams of tokens.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/cli/train_flags.hpp>
#include <tinygpt/data/text_file.hpp>
#include <tinygpt/data/token_stream.hpp>
#include <tinygpt/io/dataset_shards.hpp>
#include <tinygpt/io/tokenizer_files.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli {

/// By which a resumed run knows its data.
struct Fingerprint {
  std::int64_t bytes = 0;
  std::uint32_t crc32c = 0;
  bool operator==(const Fingerprint&) const = default;
};

/// What the model that a run begins with says of its data: the checkpoint that it goes on from, or a model that it
/// takes the weights of, which may have been trained on anything.
struct TrainedOn {
  std::filesystem::path model;
  Tokenizer tokenizer;
  std::optional<Fingerprint> data;

  /// What to do where the run's tokenizer must be another.
  std::string anew() const { return data ? "begin anew with another --out" : "leave --init-from-model out"; }
};

struct TrainData {
  Tokenizer tokenizer;
  TokenStream train, validation;
  Fingerprint fingerprint;
  std::string description;  ///< what it is and how much, for people
  std::string beginning;    ///< its first word; empty where that is not at hand
  std::vector<std::pair<std::string, TokenStream>> others{};
};

namespace train_data {

inline const std::string& input(const TrainFlags& flags) {
  return flags.input_file.empty() ? flags.dataset_dir : flags.input_file;
}

inline void expect_same(const Fingerprint& data, const TrainFlags& flags, const std::filesystem::path& checkpoint,
                        const Fingerprint& trained_on) {
  if (data == trained_on) return;
  const std::string kind = flags.input_file.empty() ? "data" : "text";
  throw Error(checkpoint.string() + " was trained on another " + (flags.input_file.empty() ? "dataset" : "text") +
              " than " + input(flags) + ": give the same " + kind + ", or begin anew with another --out");
}

/// The tokenizer that --tokenizer names, if it does. A run goes on with the one that it began with.
inline std::optional<Tokenizer> said_tokenizer(const TrainFlags& flags, const std::optional<TrainedOn>& before) {
  if (flags.tokenizer.empty()) return std::nullopt;
  auto tokenizer = load_tokenizer(flags.tokenizer);
  if (before && tokenizer != before->tokenizer) {
    throw Error(flags.tokenizer + " is another tokenizer than the model's in " + before->model.string() +
                ": leave --tokenizer out, or " + before->anew());
  }
  return tokenizer;
}

/// The first word of a text, as something to begin a text with, and the space after it; of a long one some characters.
inline std::string first_word(const std::string& text) {
  constexpr std::size_t most = 24;
  std::size_t end = std::min({text.find_first_of(" \n"), text.size(), most});
  while (end < text.size() && end > 0 && (text[end] & 0xC0) == 0x80) --end;  // a character stays whole
  return text.substr(0, end < text.size() && text[end] == ' ' ? end + 1 : end);
}

inline TrainData of_text(const TrainFlags& flags, const Config& config, const std::optional<TrainedOn>& before) {
  const std::string text = read_text_file(flags.input_file);
  const Split split = split_text(text, config.ctx, flags.input_file);
  const auto bytes = [](std::string_view part) { return grouped(static_cast<std::int64_t>(part.size())); };
  const Fingerprint fingerprint{static_cast<std::int64_t>(text.size()),
                                crc32c(std::as_bytes(std::span(text.data(), text.size())))};
  if (before && before->data) expect_same(fingerprint, flags, before->model, *before->data);
  auto tokenizer = said_tokenizer(flags, before);
  if (!tokenizer) tokenizer = before ? before->tokenizer : Tokenizer::characters(text);
  expect_room(*tokenizer, config.vocab);
  const auto encoded = [&](std::string_view part) {
    auto tokens = tokenizer->encode(part);
    if (tokens.size() <= static_cast<std::size_t>(config.ctx)) {
      throw Error(flags.input_file + " is too short: one of its two parts has " + std::to_string(tokens.size()) +
                  " tokens, and must hold one context of " + std::to_string(config.ctx) +
                  " and the one that follows: give a longer text");
    }
    return TokenStream(std::move(tokens));
  };
  auto train = encoded(split.train), validation = encoded(split.validation);
  const std::string kind = tokenizer->is_characters() ? std::to_string(tokenizer->size()) + " of them different"
                                                      : "read by " + tokenizer->description();
  return {*tokenizer,
          std::move(train),
          std::move(validation),
          fingerprint,
          flags.input_file + ": " + bytes(text) + " bytes, " + kind + "; " + bytes(split.train) + " to train on, " +
              bytes(split.validation) + " to validate with",
          first_word(text)};
}

/// The tokenizer that a dataset was made with: its own, or the one that --tokenizer names.
inline Tokenizer tokenizer_of(const Dataset& dataset, const TrainFlags& flags, const std::optional<TrainedOn>& before) {
  const auto& directory = dataset.directory;
  auto tokenizer = said_tokenizer(flags, before);
  const auto agrees = [&](const Tokenizer& t) { return hash_text(t.hash()) == dataset.tokenizer_hash; };
  if (dataset.kind == DatasetKind::prepared) {
    if (tokenizer && !agrees(*tokenizer)) {
      throw Error(flags.tokenizer + " is another tokenizer than the one that " + directory.string() +
                  " was prepared with: leave --tokenizer out, as the dataset has its own");
    }
    auto own = load_tokenizer(directory / "tokenizer.json");
    if (!agrees(own)) {
      throw Error((directory / "tokenizer.json").string() + " is another tokenizer than the one that the dataset was " +
                  "prepared with (" + hash_text(own.hash()) + ", not " + printable(*dataset.tokenizer_hash) +
                  "): copy the dataset or prepare it again");
    }
    if (before && own != before->tokenizer) {
      const std::string model = before->model.string();
      throw Error(directory.string() + " was prepared with another tokenizer than the model's in " + model +
                  ": prepare it with --tokenizer " + model + ", or " + before->anew());
    }
    return own;
  }
  if (tokenizer) return *tokenizer;
  if (before) return before->tokenizer;
  std::error_code error;
  if (std::filesystem::exists(directory / "tokenizer.json", error)) return load_tokenizer(directory / "tokenizer.json");
  throw Error(directory.string() +
              " has no tokenizer, without which the model could write no text: give the one that the tokens were made "
              "with, --tokenizer PATH, such as a directory with GPT-2's vocab.json and merges.txt");
}

/// A part of a dataset, every id of it checked.
inline std::pair<TokenStream, CheckedShards> opened(const Dataset& dataset, const DatasetSplit& split,
                                                    const std::string& purpose, const Config& config,
                                                    const Tokenizer& tokenizer) {
  const std::string directory = dataset.directory.string();
  if (split.shards.empty()) {
    throw Error(directory + " has no data to " + purpose + ": " +
                (dataset.kind == DatasetKind::prepared ? "prepare more documents, or with a larger --val-fraction"
                                                       : "its shards must be named *train*.bin and *val*.bin"));
  }
  auto checked = open_shards(dataset, split, tokenizer.size(), hardware_threads());
  CheckedShards facts{{}, checked.bytes, checked.crc};
  TokenStream stream(std::move(checked.shards), tokenizer.size());
  if (stream.windows(config.ctx) == 0) {
    throw Error(directory + " is too short: " + grouped(stream.size()) + " tokens to " + purpose + " in " +
                std::to_string(split.shards.size()) + (split.shards.size() == 1 ? " shard" : " shards") +
                " hold not one window of " + std::to_string(config.ctx) +
                " tokens and the one that follows: prepare more text, or take a model with a shorter context");
  }
  return {std::move(stream), std::move(facts)};
}

inline TrainData of_dataset(const TrainFlags& flags, const Config& config, const std::optional<TrainedOn>& before) {
  const Dataset dataset = read_dataset(flags.dataset_dir);
  const Tokenizer tokenizer = tokenizer_of(dataset, flags, before);
  expect_room(tokenizer, config.vocab);
  auto [train, train_facts] = opened(dataset, dataset.train, "train on", config, tokenizer);
  auto [validation, validation_facts] = opened(dataset, dataset.validation, "validate with", config, tokenizer);
  const std::uint32_t crcs[] = {train_facts.crc, validation_facts.crc};
  const Fingerprint fingerprint{train_facts.bytes + validation_facts.bytes, crc32c(std::as_bytes(std::span(crcs)))};
  if (before && before->data) expect_same(fingerprint, flags, before->model, *before->data);
  std::string description = flags.dataset_dir + ": " + grouped(train.size()) + " tokens to train on, " +
                            grouped(validation.size()) + " to validate with; " + tokenizer.description();
  return {tokenizer, std::move(train), std::move(validation), fingerprint, std::move(description), ""};
}

/// A dataset that is only evaluated, which must have the tokens of this tokenizer.
inline Dataset dataset_to_evaluate(const std::string& directory, const Tokenizer& tokenizer) {
  Dataset dataset = read_dataset(directory);
  if (dataset.tokenizer_hash && *dataset.tokenizer_hash != hash_text(tokenizer.hash())) {
    throw Error(directory + " was prepared with another tokenizer than the data that are trained on: prepare both " +
                "with the same --tokenizer");
  }
  return dataset;
}

/// What of a dataset is for validation, or all of one that has no such part.
inline const DatasetSplit& validation_of(const Dataset& dataset) {
  return dataset.validation.shards.empty() ? dataset.train : dataset.validation;
}

inline TokenStream of_eval_dataset(const EvalDataset& said, const Config& config, const Tokenizer& tokenizer) {
  const Dataset dataset = dataset_to_evaluate(said.directory, tokenizer);
  return opened(dataset, validation_of(dataset), "validate with", config, tokenizer).first;
}

}  // namespace train_data

/// Opens and checks everything that a run reads. `before` is what its checkpoint says, where it goes on from one.
inline TrainData open_train_data(const TrainFlags& flags, const std::vector<EvalDataset>& eval_datasets,
                                 const Config& config, const std::optional<TrainedOn>& before) {
  auto data = flags.input_file.empty() ? train_data::of_dataset(flags, config, before)
                                       : train_data::of_text(flags, config, before);
  for (const auto& said : eval_datasets) {
    data.others.emplace_back(said.name, train_data::of_eval_dataset(said, config, data.tokenizer));
  }
  return data;
}

}  // namespace tinygpt::cli

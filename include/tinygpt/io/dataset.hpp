// A directory of token shards: one that prepare wrote, or llm.c's, nanoGPT's and raw ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/data/token_shard.hpp>
#include <tinygpt/io/json.hpp>

namespace tinygpt {

/// One file of a dataset, as the directory describes it; what it does not say is known when the file is opened.
struct DatasetShard {
  std::string file;                   ///< a plain name
  std::optional<ShardFormat> format;  ///< none: the file's header says it
  std::optional<std::int64_t> tokens;
  std::optional<std::string> crc32c;  ///< eight hexadecimal digits
};

struct DatasetSplit {
  std::vector<DatasetShard> shards;
  std::optional<std::int64_t> tokens, documents;
};

enum class DatasetKind { prepared, llmc, nanogpt, raw };

/// What a directory says that it holds. Nothing of the shards has been read.
struct Dataset {
  std::filesystem::path directory;
  DatasetKind kind = DatasetKind::prepared;
  DatasetSplit train, validation;
  std::optional<int> vocab;                   ///< all ids are below
  std::optional<std::string> tokenizer_hash;  ///< as hash_text() shows it
  Json json;                                  ///< the whole of dataset.json or dataset_metadata.json; null without one
};

namespace dataset {

inline constexpr std::int64_t max_json_file = std::int64_t{256} << 20;  // it names every file of the sources

inline Json read(const std::filesystem::path& path) { return parse_json(read_small_file(path, max_json_file), path); }

/// A name from a file must not lead out of the directory.
inline std::string plain_name(std::string name, const std::filesystem::path& path) {
  if (name.empty() || name == "." || name == ".." || name.size() > 255 || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos) {
    throw damaged(path, "'" + printable(name) + "' is not the plain name of a file");
  }
  return name;
}

inline std::int64_t count(const Json& object, const char* key, const std::filesystem::path& path) {
  const auto n = member<std::int64_t>(object, key, path);
  if (n < 0) throw damaged(path, "'" + std::string(key) + "' must be 0 or more");
  return n;
}

inline const Json& list(const Json& object, const char* key, const std::filesystem::path& path) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) throw damaged(path, "'" + std::string(key) + "' must be a list");
  return *found;
}

inline DatasetSplit prepared_split(const Json& splits, const char* name, const std::filesystem::path& path) {
  const Json json = member<Json>(splits, name, path);
  DatasetSplit split;
  split.tokens = count(json, "tokens", path);
  split.documents = count(json, "documents", path);
  std::int64_t sum = 0;
  for (const Json& shard : list(json, "shards", path)) {
    if (!shard.is_object()) throw damaged(path, "'shards' must hold objects");
    const std::int64_t tokens = count(shard, "tokens", path);
    if (tokens > *split.tokens - sum) throw damaged(path, "'tokens' is less than its shards have");
    sum += tokens;
    const auto crc = member<std::string>(shard, "crc32c", path);
    if (crc.size() != 8 || crc.find_first_not_of("0123456789abcdef") != std::string::npos) {
      throw damaged(path, "'crc32c' must be eight hexadecimal digits");
    }
    split.shards.push_back({plain_name(member<std::string>(shard, "file", path), path), {}, tokens, crc});
  }
  if (sum != *split.tokens) throw damaged(path, "'tokens' is more than its shards have");
  return split;
}

/// What dataset.json says.
inline Dataset prepared(const std::filesystem::path& directory, const Json& json) {
  const auto path = directory / "dataset.json";
  Dataset dataset{directory, DatasetKind::prepared, {}, {}, {}, {}, json};
  if (member<std::string>(json, "format", path) != "tinygpt-dataset") throw damaged(path, "it is no dataset");
  if (member<int>(json, "format_version", path) != 1) {
    throw Error(path.string() + " was written by a newer tinygpt: use that version to read it");
  }
  const Json splits = member<Json>(json, "splits", path), tokenizer = member<Json>(json, "tokenizer", path);
  dataset.train = prepared_split(splits, "train", path);
  dataset.validation = prepared_split(splits, "val", path);
  dataset.vocab = member<int>(tokenizer, "size", path);
  if (*dataset.vocab < 1) throw damaged(path, "'size' must be 1 or more");
  dataset.tokenizer_hash = member<std::string>(tokenizer, "hash", path);
  return dataset;
}

/// Whether a file is for validation or for training, by the later of the two words in its name; neither: not of a
/// dataset.
enum class Role { none, train, validation };
inline Role role_of(std::string_view name) {
  const auto train = name.rfind("train"), validation = name.rfind("val");
  if (train == std::string_view::npos && validation == std::string_view::npos) return Role::none;
  if (train == std::string_view::npos) return Role::validation;
  return validation == std::string_view::npos || validation < train ? Role::train : Role::validation;
}

inline void add(Dataset& dataset, DatasetShard shard) {
  auto& split = role_of(shard.file) == Role::validation ? dataset.validation : dataset.train;
  split.shards.push_back(std::move(shard));
}

/// The names of *train*.bin and *val*.bin, sorted.
inline std::vector<std::string> shard_names(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto name = entry->path().filename().string();
    if (name.ends_with(".bin") && !name.starts_with('.') && role_of(name) != Role::none) names.push_back(name);
  }
  if (error) throw file_error("read", directory, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

/// Raw tokens that dataset_metadata.json describes: "dtype" (uint32, also where it is missing, or uint16),
/// "vocab_size" and "shards" (names, or objects with "file" or "filename" or "name", and perhaps
/// "tokens" or "num_tokens"); without "shards", *train*.bin and *val*.bin. Other keys are not read.
inline Dataset raw(const std::filesystem::path& directory, const Json& json) {
  const auto path = directory / "dataset_metadata.json";
  Dataset dataset{directory, DatasetKind::raw, {}, {}, {}, {}, json};
  const auto type = json.contains("dtype") ? member<std::string>(json, "dtype", path) : "uint32";
  if (type != "uint32" && type != "uint16") {
    throw Error(path.string() + " has 'dtype' " + printable(type) +
                ", which is not read: write tokens as uint32 or uint16");
  }
  const auto format = type == "uint32" ? ShardFormat::raw_uint32 : ShardFormat::raw_uint16;
  if (json.contains("vocab_size")) {
    dataset.vocab = member<int>(json, "vocab_size", path);
    if (*dataset.vocab < 1) throw damaged(path, "'vocab_size' must be 1 or more");
  }
  if (!json.contains("shards")) {
    for (auto& name : shard_names(directory)) add(dataset, {name, format, {}, {}});
    return dataset;
  }
  for (const Json& shard : list(json, "shards", path)) {
    if (shard.is_string()) {
      add(dataset, {plain_name(shard.get<std::string>(), path), format, {}, {}});
      continue;
    }
    if (!shard.is_object()) throw damaged(path, "'shards' must hold names or objects");
    const char* name = "file";
    for (const char* const other : {"filename", "name"}) {
      if (!shard.contains(name) && shard.contains(other)) name = other;
    }
    DatasetShard found{plain_name(member<std::string>(shard, name, path), path), format, {}, {}};
    for (const char* const tokens : {"tokens", "num_tokens"}) {
      if (shard.contains(tokens)) found.tokens = count(shard, tokens, path);
    }
    add(dataset, std::move(found));
  }
  return dataset;
}

/// llm.c's shards, told by their headers; or nanoGPT's train.bin and val.bin, which have none: uint16, or uint32 where
/// train.bin shows it.
inline Dataset foreign(const std::filesystem::path& directory) {
  const auto names = shard_names(directory);
  if (names.empty()) {
    throw Error(directory.string() +
                " holds no data: prepare it with tinygpt prepare, or give a directory with dataset.json, or with token "
                "shards named *train*.bin and *val*.bin");
  }
  const bool bare =
      std::binary_search(names.begin(), names.end(), "train.bin") && !TokenShard::format_of(directory / "train.bin");
  const bool wide = bare && TokenShard::is_raw_uint32(directory / "train.bin");
  const auto raw_format = wide ? ShardFormat::raw_uint32 : ShardFormat::raw_uint16;
  Dataset dataset{directory, bare ? DatasetKind::nanogpt : DatasetKind::llmc, {}, {}, {}, {}, {}};
  for (const auto& name : names) {
    if (bare && name != "train.bin" && name != "val.bin") continue;
    add(dataset, {name, bare ? std::optional(raw_format) : std::nullopt, {}, {}});
  }
  return dataset;
}

}  // namespace dataset

/// Reads what a directory says of its data: dataset.json, else dataset_metadata.json, else the names of its shards.
inline Dataset read_dataset(const std::filesystem::path& directory) {
  std::error_code error;
  const auto status = std::filesystem::status(directory, error);
  if (!std::filesystem::exists(status)) {
    throw Error("there is no dataset " + directory.string() + ": check the path, or make one with tinygpt prepare");
  }
  if (!std::filesystem::is_directory(status)) {
    throw Error(directory.string() + " is a file: give the directory that holds the dataset");
  }
  const auto holds = [&](const char* name) { return std::filesystem::exists(directory / name, error); };
  if (holds("dataset.json")) return dataset::prepared(directory, dataset::read(directory / "dataset.json"));
  if (holds("dataset_metadata.json"))
    return dataset::raw(directory, dataset::read(directory / "dataset_metadata.json"));
  return dataset::foreign(directory);
}

}  // namespace tinygpt

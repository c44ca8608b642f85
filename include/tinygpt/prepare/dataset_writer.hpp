// Writes a prepared dataset: a directory that appears whole, or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/json.hpp>
#include <tinygpt/io/shard_writer.hpp>
#include <tinygpt/io/tokenizer_json.hpp>
#include <tinygpt/prepare/document_log.hpp>
#include <tinygpt/prepare/selection.hpp>

namespace tinygpt::prepare {

/// The shards of one split, in llm.c's format, numbered on from those that are there; no name is taken twice.
class SplitWriter {
 public:
  SplitWriter(std::filesystem::path directory, std::string split, ShardFormat format, std::int64_t shard_tokens)
      : directory_(std::move(directory)), split_(std::move(split)), format_(format), shard_tokens_(shard_tokens) {}

  /// Takes shards over from an earlier dataset, by a link where the filesystem has them. New ones get names that the
  /// directory does not have: a shard that was taken out of the dataset may still lie in it.
  void adopt(const std::filesystem::path& from, const Json& split) {
    adopted_from_ = from;
    tokens_ = split.at("tokens").get<std::int64_t>();
    documents_ = split.at("documents").get<std::int64_t>();
    for (const Json& shard : split.at("shards")) {
      const auto name = shard.at("file").get<std::string>();
      std::error_code error;
      std::filesystem::create_hard_link(from / name, directory_ / name, error);
      if (error) std::filesystem::copy_file(from / name, directory_ / name, error);
      if (error) throw file_error("copy", from / name, error.value());
      shards_.push_back(shard);
    }
  }

  void write(std::span<const std::int32_t> tokens) {
    while (!tokens.empty()) {
      if (!shard_) {
        shard_.emplace(directory_ / free_name(), format_);
      }
      const auto room = static_cast<std::size_t>(shard_tokens_ - shard_->tokens());
      const auto now = tokens.first(std::min(room, tokens.size()));
      shard_->write(now);
      tokens_ += static_cast<std::int64_t>(now.size());
      tokens = tokens.subspan(now.size());
      if (shard_->tokens() == shard_tokens_) finish_shard();
    }
  }
  void count_document() { ++documents_; }

  std::int64_t tokens() const { return tokens_; }

  /// Of dataset.json.
  Json finish() {
    if (shard_) finish_shard();
    return {{"tokens", tokens_}, {"documents", documents_}, {"shards", shards_}};
  }

 private:
  std::string free_name() {
    char name[64];
    do {
      std::snprintf(name, sizeof name, "%s_%06zu.bin", split_.c_str(), number_++);
    } while (is_there(directory_ / name) || (!adopted_from_.empty() && is_there(adopted_from_ / name)));
    return name;
  }
  static bool is_there(const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::exists(std::filesystem::symlink_status(path, error));
  }

  void finish_shard() {
    shard_->finish();
    shards_.push_back({{"file", shard_->path().filename().string()},
                       {"tokens", shard_->tokens()},
                       {"crc32c", crc_text(shard_->crc())}});
    shard_.reset();
  }

  std::filesystem::path directory_, adopted_from_;
  std::string split_;
  ShardFormat format_;
  std::int64_t shard_tokens_;
  std::optional<ShardWriter> shard_;
  Json shards_ = Json::array();
  std::int64_t tokens_ = 0, documents_ = 0;
  std::size_t number_ = 0;
};

/// documents.bin: which texts a dataset has, so that append knows them. A first record says what the file is; `ends` of
/// the others has the bit 2 where a text is for validation.
class DocumentList {
 public:
  static constexpr const char* name = "documents.bin";
  static constexpr std::uint32_t validation = 2;
  static constexpr std::uint64_t magic = 0x74706774'73636F64, version = 1;  // "docstgpt"

  explicit DocumentList(const std::filesystem::path& path) : file_(path) { write({{magic, version}, 0, 0, 0, 0}); }
  void add(DocumentRecord record, std::uint32_t source, bool for_validation) {
    record.source = source;
    record.ends = (record.ends & 1) | (for_validation ? validation : 0);
    write(record);
  }
  void finish() {
    flush();
    file_.finish();
  }

  /// Those of a dataset; none where it has no list.
  static std::optional<Records> of(const std::filesystem::path& dataset) {
    const auto path = dataset / name;
    std::error_code error;
    if (!std::filesystem::exists(path, error) && !error) return std::nullopt;
    const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(path, error));
    if (error) throw file_error("read", path, error.value());
    constexpr std::int64_t size = sizeof(DocumentRecord);
    if (bytes < size || bytes % size != 0) throw DamagedFile(path.string() + " is damaged: prepare the dataset anew");
    const DocumentRecord first = SequentialFile<DocumentRecord>(path).read();
    if (first.text != Fingerprint{magic, version}) {
      throw DamagedFile(path.string() + " is damaged or of a newer tinygpt: prepare the dataset anew");
    }
    return Records{path, bytes / size - 1, 1};
  }

 private:
  void write(const DocumentRecord& record) {
    held_.push_back(record);
    if (held_.size() == most_held) flush();
  }
  void flush() {
    file_.write(std::as_bytes(std::span<const DocumentRecord>(held_)));
    held_.clear();
  }

  static constexpr std::size_t most_held = 8192;
  std::vector<DocumentRecord> held_;
  OutputFile file_;
};

/// dataset.json and tokenizer.json, after which the directory is complete.
inline void write_dataset_files(const AtomicDirectory& directory, const Tokenizer& tokenizer, const Json& splits,
                                const Json& sources, const Json& options) {
  const auto end = tokenizer.end_of_text();
  const auto write = [&](const char* name, const std::string& text) {
    OutputFile file(directory.path(name));
    file.write(text);
    file.finish();
  };
  write("tokenizer.json", tokenizer_json_text(tokenizer));
  write("dataset.json", json_text({{"format", "tinygpt-dataset"},
                                   {"format_version", 1},
                                   {"tokenizer",
                                    {{"file", "tokenizer.json"},
                                     {"description", tokenizer.description()},
                                     {"size", tokenizer.size()},
                                     {"hash", hash_text(tokenizer.hash())}}},
                                   {"end_of_text", end ? Json(*end) : Json(nullptr)},
                                   {"splits", splits},
                                   {"sources", sources},
                                   {"options", options}}));
}

}  // namespace tinygpt::prepare

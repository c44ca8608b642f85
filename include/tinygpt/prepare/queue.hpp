// Documents in the order in which a source gives them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <tinygpt/data/token_shard.hpp>
#include <tinygpt/prepare/document_log.hpp>
#include <tinygpt/prepare/selection.hpp>

namespace tinygpt::prepare {

/// One source's documents for one split. After the last one begin() starts again with the first.
class Queue {
 public:
  virtual ~Queue() = default;
  virtual void begin() = 0;
  /// Appends the next document or part of one; true where it ends the document, so that an end-of-text token follows.
  /// Nothing where there is none left.
  virtual std::optional<bool> next(std::vector<std::int32_t>& tokens) = 0;
};

/// From the logs of a source: those documents that `wanted(number, record)` names.
template <class Wanted> class LogQueue final : public Queue {
 public:
  LogQueue(Records records, std::filesystem::path tokens, int token_bytes, Wanted wanted)
      : records_(std::move(records)), wanted_(std::move(wanted)), record_file_(records_.path, records_.first) {
    if (token_bytes == 2)
      narrow_.emplace(std::move(tokens));
    else
      wide_.emplace(std::move(tokens));
    begin();
  }

  void begin() override {
    number_ = 0;
    record_file_.rewind(records_.first);
    if (narrow_) narrow_->rewind();
    if (wide_) wide_->rewind();
    ahead_ = take();
  }

  std::optional<bool> next(std::vector<std::int32_t>& tokens) override {
    while (ahead_ && !ahead_->second) {
      skip(ahead_->first.tokens);
      ahead_ = take();
    }
    if (!ahead_) return std::nullopt;
    const DocumentRecord record = ahead_->first;
    read(record.tokens, tokens);
    used_ = std::max(used_, number_);
    ahead_ = take();
    // What its neighbour went on with is not there where the neighbour is not.
    return record.ends != 0 || !ahead_ || !ahead_->second;
  }

  /// Records up to the last one that was given.
  std::int64_t used() const { return used_; }

 private:
  using Candidate = std::pair<DocumentRecord, bool>;

  std::optional<Candidate> take() {
    if (number_ == records_.count) return std::nullopt;
    const DocumentRecord record = record_file_.read();
    const bool wanted = wanted_(number_++, record);
    return Candidate{record, wanted};
  }

  void skip(std::int64_t tokens) {
    if (narrow_) narrow_->skip(tokens);
    if (wide_) wide_->skip(tokens);
  }

  void read(std::size_t count, std::vector<std::int32_t>& tokens) {
    const std::size_t before = tokens.size();
    tokens.resize(before + count);
    const auto to = std::span(tokens).subspan(before);
    if (wide_) return wide_->read(to);
    buffer_.resize(count);
    narrow_->read(buffer_);
    std::copy(buffer_.begin(), buffer_.end(), to.begin());
  }

  Records records_;
  Wanted wanted_;
  SequentialFile<DocumentRecord> record_file_;
  std::optional<SequentialFile<std::uint16_t>> narrow_;
  std::optional<SequentialFile<std::int32_t>> wide_;
  std::vector<std::uint16_t> buffer_;
  std::optional<Candidate> ahead_;
  std::int64_t number_ = 0, used_ = 0;
};

/// From shards that were prepared before: what lies between two end-of-text tokens, or a piece of it.
class ShardQueue final : public Queue {
 public:
  static constexpr std::size_t longest_piece = 1024;

  /// `end_of_text` below 0: there is none.
  ShardQueue(std::vector<TokenShard> shards, std::int32_t end_of_text)
      : shards_(std::move(shards)), end_of_text_(end_of_text) {}

  void begin() override { shard_ = 0, position_ = 0; }

  std::optional<bool> next(std::vector<std::int32_t>& tokens) override {
    while (shard_ < shards_.size() && position_ == shards_[shard_].size()) ++shard_, position_ = 0;
    if (shard_ == shards_.size()) return std::nullopt;
    const TokenShard& shard = shards_[shard_];
    piece_.resize(static_cast<std::size_t>(
        std::min<std::int64_t>(shard.size() - position_, static_cast<std::int64_t>(longest_piece))));
    shard.read(position_, piece_);
    const auto end = std::find(piece_.begin(), piece_.end(), end_of_text_);
    tokens.insert(tokens.end(), piece_.begin(), end);
    position_ += (end - piece_.begin()) + (end != piece_.end());
    return end != piece_.end();
  }

 private:
  std::vector<TokenShard> shards_;
  std::int32_t end_of_text_;
  std::size_t shard_ = 0;
  std::int64_t position_ = 0;
  std::vector<std::int32_t> piece_;
};

}  // namespace tinygpt::prepare

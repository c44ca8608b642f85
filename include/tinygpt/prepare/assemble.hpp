// From logs of encoded documents, or from prepared datasets, to a dataset: what is left out, what is for validation,
// how much of each source, in which order.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <tinygpt/io/dataset.hpp>
#include <tinygpt/prepare/dataset_writer.hpp>
#include <tinygpt/prepare/encode.hpp>
#include <tinygpt/prepare/mixture.hpp>
#include <tinygpt/prepare/queue.hpp>

namespace tinygpt::prepare {

struct AssembleOptions {
  double val_fraction = 0.05;
  bool deduplicate = false;
  MixtureOptions mixture;
  std::int64_t shard_tokens = 100'000'000;
};

/// What became of one source.
struct SourceReport {
  std::string name;
  Counts counts;
  std::int64_t duplicates = 0;
  Share train;                  ///< tokens, end-of-text included
  std::int64_t given = 0;       ///< tokens for training that are in the dataset
  std::int64_t validation = 0;  ///< and for validation
  Json json = Json::object();   ///< more of it for dataset.json

  std::vector<std::string> bad{};         ///< the first documents that could not be read
  std::vector<PassedOver> passed_over{};  ///< files
  std::vector<std::filesystem::path> rows_as_text{};
};

struct Report {
  std::vector<SourceReport> sources;
  std::int64_t train_tokens = 0, validation_tokens = 0;  ///< of the whole dataset
};

namespace assemble {

/// One source on its way: its documents for training and for validation.
struct Part {
  SourceReport report;
  std::unique_ptr<Queue> train, validation;
  Share validation_share;
};

/// Called with the tokens that a split has so far.
using Wrote = std::function<void(std::int64_t)>;

/// The token that ends a document. Bytes and characters have none of their own: a newline does what it can.
using Ending = std::optional<std::int32_t>;

inline Ending ending_of(const Tokenizer& tokenizer) {
  if (const auto end = tokenizer.end_of_text()) return end;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    if (tokenizer.decode(id) == "\n") return id;
  }
  return std::nullopt;
}

/// Writes documents of several sources, each until it has its target, and says how many tokens each gave.
inline std::vector<std::int64_t> write(const std::vector<Queue*>& queues, const std::vector<Share>& shares,
                                       const Ending& ending, SplitWriter& to, const Wrote& wrote) {
  constexpr std::int64_t longest = std::int64_t{1} << 16;  // of one document before another source has its turn
  std::vector<std::int64_t> given(queues.size());
  std::optional<std::size_t> open;  // a document of this source is not at its end
  const auto close = [&](std::size_t next) {
    if (!open || *open == next) return;
    if (ending) {
      to.write(std::span(&*ending, 1));
      ++given[*open];
    }
    open.reset();
  };
  // One document, or as much of it as there is room for.
  const auto give = [&](std::size_t i, std::int64_t room) {
    close(i);
    std::int64_t sum = 0;
    const auto write = [&](std::span<const std::int32_t> tokens) {
      to.write(tokens);
      sum += static_cast<std::int64_t>(tokens.size());
    };
    while (sum < room) {
      const auto ends = queues[i]->next(write);
      if (!ends) break;
      if (*ends && ending) write(std::span(&*ending, 1));
      to.count_document();
      open.reset();
      if (*ends) break;
      open = i;
    }
    given[i] += sum;
    return sum;
  };
  for (Queue* const queue : queues) queue->begin();
  interleave(shares, [&](std::size_t i, std::int64_t room) {
    room = std::min(room, longest);
    std::int64_t sum = give(i, room);
    if (sum == 0) {  // it has given all, and more is wanted
      close(queues.size());
      queues[i]->begin();
      sum = give(i, room);
    }
    wrote(to.tokens());
    return sum;
  });
  close(queues.size());
  return given;
}

/// Plans the shares of the parts for training.
inline void plan(std::vector<Part>& parts, const MixtureOptions& options) {
  std::vector<Share> shares;
  for (const Part& part : parts) shares.push_back(part.report.train);
  plan_mixture(shares, options);
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].report.train = shares[i];
}

/// The files of a dataset on their way.
class Output {
 public:
  Output(const AtomicDirectory& directory, const Tokenizer& tokenizer, const AssembleOptions& options)
      : train(directory.path(""), "train", shard::llmc_format(tokenizer.size()), options.shard_tokens),
        validation(directory.path(""), "val", shard::llmc_format(tokenizer.size()), options.shard_tokens),
        documents(directory.path(DocumentList::name)),
        directory_(directory),
        tokenizer_(tokenizer) {}

  SplitWriter train, validation;
  DocumentList documents;

  /// Begins with what the dataset at `from` has; `before` is its dataset.json.
  void adopt(const std::filesystem::path& from, const Json& before) {
    train.adopt(from, before.at("splits").at("train"));
    validation.adopt(from, before.at("splits").at("val"));
    sources_ = dataset::list(before, "sources", from / "dataset.json");
  }

  /// Of the first of the parts, in dataset.json.
  std::uint32_t first_source() const { return static_cast<std::uint32_t>(sources_.size()); }

  /// Everything but the directory's name.
  Report finish(std::vector<Part>&& parts, const Json& options) {
    Report report;
    for (Part& part : parts) {
      SourceReport& r = part.report;
      Json json{{"name", r.name}, {"weight", r.train.weight > 0 ? Json(r.train.weight) : Json(nullptr)}};
      for_each_count(r.counts, [&](const char* name, std::int64_t count) { json[name] = count; });
      json["duplicates"] = r.duplicates;
      json["train_tokens"] = r.given;
      json["val_tokens"] = r.validation;
      const double available = static_cast<double>(r.train.available);
      json["repeated"] = available > 0 ? static_cast<double>(r.given) / available : 0;
      json.update(r.json);
      sources_.push_back(std::move(json));
      report.sources.push_back(std::move(r));
    }
    documents.finish();
    report.train_tokens = train.tokens();
    report.validation_tokens = validation.tokens();
    write_dataset_files(directory_, tokenizer_, {{"train", train.finish()}, {"val", validation.finish()}}, sources_,
                        options);
    return report;
  }

 private:
  const AtomicDirectory& directory_;
  const Tokenizer& tokenizer_;
  Json sources_ = Json::array();
};

/// Both splits of all parts, as their shares say.
inline void write(std::vector<Part>& parts, const Ending& ending, Output& output, const Wrote& wrote) {
  const auto written = [&](auto queue_of, auto share_of, SplitWriter& to) {
    std::vector<Queue*> queues;
    std::vector<Share> shares;
    for (Part& part : parts) {
      queues.push_back(queue_of(part));
      shares.push_back(share_of(part));
    }
    return write(queues, shares, ending, to, wrote);
  };
  const auto trained =
      written([](Part& p) { return p.train.get(); }, [](Part& p) { return p.report.train; }, output.train);
  const auto validated = written([](Part& p) { return p.validation.get(); }, [](Part& p) { return p.validation_share; },
                                 output.validation);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].report.given = trained[i];
    parts[i].report.validation = validated[i];
  }
  if (output.train.tokens() == 0) {
    throw Error(
        "nothing is left to train on: the sources hold no text that the filters let through: check the paths and "
        "--min-bytes, --max-bytes, --field");
  }
}

}  // namespace assemble
}  // namespace tinygpt::prepare

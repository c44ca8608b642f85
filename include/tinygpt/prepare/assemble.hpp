// From logs of encoded documents, or from prepared datasets, to a dataset: what is left out, what is for validation,
// how much of each source, in which order.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

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
};

inline int ending_tokens(const Tokenizer& tokenizer, std::int32_t& ending) {
  if (const auto end = tokenizer.end_of_text()) {
    ending = *end;
    return 1;
  }
  // Bytes and characters have no such token: a newline does what it can.
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    if (tokenizer.decode(id) == "\n") {
      ending = id;
      return 1;
    }
  }
  return 0;
}

/// Writes both splits. Sets what each source gave.
inline void write(std::vector<Part>& parts, const MixtureOptions& options, int endings, std::int32_t ending,
                  SplitWriter& train, SplitWriter& validation, const std::function<void(std::int64_t)>& wrote) {
  constexpr std::int64_t longest = std::int64_t{1} << 17;  // of one document in one go
  std::vector<std::int32_t> tokens;
  std::int64_t written = 0;
  // One document, or as much of it as there is room for.
  const auto give = [&](Queue& queue, SplitWriter& to, std::int64_t room) -> std::int64_t {
    std::int64_t sum = 0;
    for (bool ends = false; !ends;) {
      tokens.clear();
      const auto got = queue.next(tokens);
      if (!got) break;
      ends = *got || sum + static_cast<std::int64_t>(tokens.size()) >= room;
      if (ends && endings > 0) tokens.push_back(ending);
      to.count_document();
      to.write(tokens);
      sum += static_cast<std::int64_t>(tokens.size());
    }
    wrote(written += sum);
    return sum;
  };
  std::vector<Share> shares;
  for (Part& part : parts) shares.push_back(part.report.train);
  plan_mixture(shares, options);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].report.train = shares[i];
    parts[i].train->begin();
  }
  interleave(shares, [&](std::size_t i, std::int64_t room) {
    room = std::min(room, longest);
    std::int64_t sum = give(*parts[i].train, train, room);
    if (sum == 0) {
      parts[i].train->begin();
      sum = give(*parts[i].train, train, room);
    }
    parts[i].report.given += sum;
    return sum;
  });
  for (Part& part : parts) {
    part.validation->begin();
    while (const std::int64_t sum = give(*part.validation, validation, longest)) part.report.validation += sum;
  }
}

/// Of all texts that are not left out, the one with the lowest fingerprint, if there are two different ones.
inline std::optional<Fingerprint> lowest(const std::vector<Records>& sources,
                                         const std::function<bool(std::size_t, std::int64_t)>& skip) {
  std::optional<Fingerprint> least;
  bool differ = false;
  for (std::size_t s = 0; s < sources.size(); ++s) {
    sources[s].for_each([&](std::int64_t i, const DocumentRecord& record) {
      if (skip(s, i)) return;
      differ |= least && *least != record.text;
      if (!least || record.text.high < least->high) least = record.text;
    });
  }
  return differ ? least : std::nullopt;
}

}  // namespace assemble

/// The dataset of encoded sources at `out`, beside or after what `before` (the dataset.json there) holds.
inline Report assemble_sources(const std::filesystem::path& out, const Json* before, const Job& job,
                               const Encoding& encoding, const Tokenizer& tokenizer, const AssembleOptions& options,
                               const std::function<void(std::int64_t)>& wrote) {
  std::vector<Records> all, fresh;
  const auto old = before != nullptr ? DocumentList::of(out) : std::nullopt;
  if (old) all.push_back(*old);
  for (std::size_t s = 0; s < job.sources.size(); ++s) {
    fresh.push_back({encoding.documents_path(s), encoding.counts()[s].documents, 0});
    all.push_back(fresh.back());
  }
  const Duplicates duplicates = options.deduplicate ? Duplicates(all) : Duplicates();
  std::vector<std::int64_t> first{old ? old->count : 0};
  for (const Records& records : fresh) first.push_back(first.back() + records.count);
  const auto skip = [&](std::size_t s, std::int64_t i) { return duplicates[first[s] + i]; };

  ValidationSet validation;
  for (std::size_t s = 0; s < fresh.size(); ++s) {
    validation.choose(fresh[s], options.val_fraction, [&](std::int64_t i) { return skip(s, i); });
  }
  const auto for_each_old = [&](auto&& f) {
    if (old)
      old->for_each([&](std::int64_t, const DocumentRecord& r) { f(r, (r.ends & DocumentList::validation) != 0); });
  };
  for_each_old([&](const DocumentRecord& r, bool validates) { validates ? validation.add(r.text) : void(); });
  validation.sort();
  for_each_old([&](const DocumentRecord& r, bool validates) { validates ? void() : validation.remove(r.text); });
  if (validation.empty() && options.val_fraction > 0) {
    if (const auto one = assemble::lowest(fresh, skip)) {
      validation.add(*one);
      validation.sort();
    }
  }

  std::int32_t ending = 0;
  const int endings = assemble::ending_tokens(tokenizer, ending);
  AtomicDirectory directory(out);
  std::filesystem::path place = directory.path("x").parent_path();
  const ShardFormat format = shard::llmc_format(tokenizer.size());
  SplitWriter train(place, "train", format, options.shard_tokens), val(place, "val", format, options.shard_tokens);
  Json sources = Json::array();
  if (before != nullptr) {
    train.adopt(out, before->at("splits").at("train"));
    val.adopt(out, before->at("splits").at("val"));
    sources = before->at("sources");
  }

  std::vector<assemble::Part> parts;
  std::vector<std::function<std::int64_t()>> used;
  std::size_t fingerprint = 0;
  for (std::size_t s = 0; s < fresh.size(); ++s) {
    const Source& source = job.sources[s];
    assemble::Part part;
    part.report.name = source.name;
    part.report.counts = encoding.counts()[s];
    part.report.train.weight = source.weight;
    const auto make = [&](bool validates) {
      auto wanted = [&duplicates, &validation, base = first[s], validates](std::int64_t i, const DocumentRecord& r) {
        return !duplicates[base + i] && validation.contains(r.text) == validates;
      };
      return std::make_unique<LogQueue<decltype(wanted)>>(fresh[s], encoding.tokens_path(s), token_bytes(tokenizer),
                                                          std::move(wanted));
    };
    // As the queue will have it: a document ends where the next record is not of its split.
    bool open = false;
    const auto close = [&] { part.report.train.available += std::exchange(open, false) ? endings : 0; };
    fresh[s].for_each([&](std::int64_t i, const DocumentRecord& record) {
      part.report.duplicates += skip(s, i);
      if (skip(s, i) || validation.contains(record.text)) return close();
      part.report.train.available += record.tokens;
      open = true;
      if (record.ends != 0) close();
    });
    close();
    auto queue = make(false);
    used.push_back([q = queue.get()] { return q->used(); });
    part.train = std::move(queue);
    part.validation = make(true);
    Json inputs = Json::array();
    for (const Input& input : source.inputs) {
      inputs.push_back({{"path", input.path.string()},
                        {"bytes", input.bytes},
                        {"fingerprint", "xxh128:" + encoding.fingerprints().at(fingerprint++).text()}});
    }
    part.report.json = {{"patterns", source.patterns}, {"inputs", std::move(inputs)}};
    parts.push_back(std::move(part));
  }

  assemble::write(parts, options.mixture, endings, ending, train, val, wrote);
  if (train.tokens() == 0) {
    throw Error(
        "nothing is left to train on: the sources hold no text that the filters let through: check the "
        "paths and --min-bytes, --max-bytes, --field");
  }

  // A list of what is in the dataset: a source of which only a part was wanted gave its first documents.
  DocumentList list(place / DocumentList::name);
  for_each_old([&](const DocumentRecord& r, bool validates) { list.add(r, r.source, validates); });
  for (std::size_t s = 0; s < fresh.size(); ++s) {
    fresh[s].for_each([&](std::int64_t i, const DocumentRecord& record) {
      const bool validates = validation.contains(record.text);
      if (skip(s, i) || (!validates && i >= used[s]())) return;
      list.add(record, static_cast<std::uint32_t>(sources.size() + s), validates);
    });
  }
  list.finish();

  Report report;
  for (assemble::Part& part : parts) {
    SourceReport& r = part.report;
    Json json{{"name", r.name}, {"weight", r.train.weight > 0 ? Json(r.train.weight) : Json(nullptr)}};
    for_each_count(r.counts, [&](const char* name, std::int64_t count) { json[name] = count; });
    json["duplicates"] = r.duplicates;
    json["train_tokens"] = r.given;
    json["val_tokens"] = r.validation;
    json["repeated"] =
        r.train.available > 0 ? static_cast<double>(r.given) / static_cast<double>(r.train.available) : 0;
    json.update(r.json);
    sources.push_back(std::move(json));
    report.sources.push_back(std::move(r));
  }
  write_dataset_files(directory, tokenizer, {{"train", train.finish()}, {"val", val.finish()}}, sources,
                      {{"val_fraction", options.val_fraction},
                       {"deduplicate", options.deduplicate},
                       {"separator", job.separator},
                       {"lowercase", job.filters.lowercase},
                       {"squeeze_whitespace", job.filters.squeeze_whitespace}});
  report.train_tokens = train.tokens();
  report.validation_tokens = val.tokens();
  directory.commit();
  return report;
}

}  // namespace tinygpt::prepare

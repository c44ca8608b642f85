// From the logs of encoded sources to a dataset: what is left out, what is for validation, and what is in it then.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <tinygpt/prepare/assemble.hpp>

namespace tinygpt::prepare {

/// The documents of some sources, beside those that a dataset already has, and where each goes.
class Division {
 public:
  Division(std::vector<Records> sources, std::optional<Records> old, const AssembleOptions& options)
      : sources_(std::move(sources)), old_(std::move(old)) {
    std::vector<Records> all;
    if (old_) all.push_back(*old_);
    all.insert(all.end(), sources_.begin(), sources_.end());
    if (options.deduplicate) duplicates_ = Duplicates(all);
    first_.push_back(old_ ? old_->count : 0);
    for (const Records& records : sources_) first_.push_back(first_.back() + records.count);
    divide(options.val_fraction);
  }

  const std::vector<Records>& sources() const { return sources_; }
  bool duplicate(std::size_t source, std::int64_t number) const { return duplicates_[first_[source] + number]; }
  bool validates(const DocumentRecord& record) const { return validation_.contains(record.text); }

  /// Calls f(record, validates) for every document that the dataset already has.
  template <class F> void for_each_old(F&& f) const {
    if (!old_) return;
    old_->for_each(
        [&](std::int64_t, const DocumentRecord& record) { f(record, (record.ends & DocumentList::validation) != 0); });
  }

 private:
  void divide(double fraction) {
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      validation_.choose(sources_[s], fraction, [&](std::int64_t i) { return duplicate(s, i); });
    }
    if (!old_ && fraction > 0 && validation_.none_added()) {
      if (const auto one = lowest()) validation_.add(*one);
    }
    for_each_old([&](const DocumentRecord& record, bool validates) {
      if (validates) validation_.add(record.text);
    });
    validation_.sort();
    for_each_old([&](const DocumentRecord& record, bool validates) {
      if (!validates) validation_.remove(record.text);
    });
  }

  /// Of all texts the one with the lowest fingerprint, if there are two different ones.
  std::optional<Fingerprint> lowest() const {
    std::optional<Fingerprint> least;
    bool differ = false;
    for (const Records& records : sources_) {
      records.for_each([&](std::int64_t, const DocumentRecord& record) {
        differ |= least && *least != record.text;
        if (!least || record.text.high < least->high) least = record.text;
      });
    }
    return differ ? least : std::nullopt;
  }

  std::vector<Records> sources_;
  std::optional<Records> old_;
  Duplicates duplicates_;
  std::vector<std::int64_t> first_;  ///< of each source, counted over all
  ValidationSet validation_;
};

namespace assemble {

/// The documents of a source that are for one of the splits.
inline auto queue_of(const Division& division, const Encoding& encoding, std::size_t source, int token_bytes,
                     bool validation) {
  auto wanted = [&division, source, validation](std::int64_t i, const DocumentRecord& record) {
    return !division.duplicate(source, i) && division.validates(record) == validation;
  };
  return std::make_unique<LogQueue<decltype(wanted)>>(division.sources()[source], encoding.tokens_path(source),
                                                      token_bytes, std::move(wanted));
}

/// Counts what the queues of a source will give.
inline void count(const Division& division, std::size_t source, const Ending& ending, Part& part) {
  const std::int64_t endings = ending ? 1 : 0;
  Share* last = nullptr;  // of the document that is not at its end; it ends where the next record is not of its split
  division.sources()[source].for_each([&](std::int64_t i, const DocumentRecord& record) {
    const bool skipped = division.duplicate(source, i);
    part.report.duplicates += skipped;
    Share* const here = skipped ? nullptr : division.validates(record) ? &part.validation_share : &part.report.train;
    if (last != nullptr && last != here) last->available += endings;
    last = here;
    if (here == nullptr) return;
    here->available += record.tokens;
    if (record.ends == 0) return;
    here->available += endings;
    last = nullptr;
  });
  if (last != nullptr) last->available += endings;
  part.validation_share.target = part.validation_share.available;
}

inline Json options_json(const Job& job, const AssembleOptions& options) {
  Json json{{"val_fraction", options.val_fraction},   {"deduplicate", options.deduplicate},
            {"separator", bytes_text(job.separator)}, {"field", bytes_text(job.field)},
            {"lowercase", job.filters.lowercase},     {"squeeze_whitespace", job.filters.squeeze_whitespace}};
  if (job.special == SpecialText::allowed) json["allow_special"] = true;
  return json;
}

}  // namespace assemble

/// The dataset of encoded sources at `out`, beside or after what `before`, the dataset.json there, holds.
inline Report assemble_sources(const std::filesystem::path& out, const Json* before, const Job& job,
                               const Encoding& encoding, const Tokenizer& tokenizer, const AssembleOptions& options,
                               const assemble::Wrote& wrote) {
  std::vector<Records> records;
  for (std::size_t s = 0; s < job.sources.size(); ++s) {
    records.push_back({encoding.documents_path(s), encoding.counts()[s].documents, 0});
  }
  const Division division(std::move(records), before != nullptr ? DocumentList::of(out) : std::nullopt, options);

  const assemble::Ending ending = assemble::ending_of(tokenizer);
  std::vector<assemble::Part> parts(job.sources.size());
  std::vector<std::function<std::int64_t()>> used;
  auto fingerprint = encoding.fingerprints().begin();
  for (std::size_t s = 0; s < parts.size(); ++s) {
    assemble::Part& part = parts[s];
    const Source& source = job.sources[s];
    part.report.name = source.name;
    part.report.counts = encoding.counts()[s];
    part.report.bad = encoding.bad()[s];
    part.report.passed_over = source.passed_over;
    part.report.rows_as_text = source.rows_as_text;
    part.report.train.weight = source.weight;
    assemble::count(division, s, ending, part);
    auto train = assemble::queue_of(division, encoding, s, token_bytes(tokenizer), false);
    used.push_back([queue = train.get()] { return queue->used(); });
    part.train = std::move(train);
    part.validation = assemble::queue_of(division, encoding, s, token_bytes(tokenizer), true);
    Json inputs = Json::array();
    for (const Input& input : source.inputs) {
      inputs.push_back({{"path", bytes_text(input.path.string())},
                        {"bytes", input.bytes},
                        {"fingerprint", "xxh128:" + (fingerprint++)->text()}});
    }
    Json patterns = Json::array(), passed_over = Json::array();
    for (const std::string& pattern : source.patterns) patterns.push_back(bytes_text(pattern));
    for (const PassedOver& file : source.passed_over) {
      passed_over.push_back({{"path", bytes_text(file.path.string())}, {"why", file.why}});
    }
    part.report.json = {
        {"patterns", std::move(patterns)}, {"inputs", std::move(inputs)}, {"passed_over", std::move(passed_over)}};
  }

  AtomicDirectory directory(out);
  assemble::Output output(directory, tokenizer, options);
  if (before != nullptr) output.adopt(out, *before);
  assemble::plan(parts, options.mixture);
  assemble::write(parts, ending, output, wrote);
  // A source of which only a part was wanted gave its first documents.
  division.for_each_old([&](const DocumentRecord& r, bool validates) { output.documents.add(r, r.source, validates); });
  for (std::size_t s = 0; s < parts.size(); ++s) {
    division.sources()[s].for_each([&](std::int64_t i, const DocumentRecord& record) {
      const bool validates = division.validates(record);
      if (division.duplicate(s, i) || (!validates && i >= used[s]())) return;
      output.documents.add(record, output.first_source() + static_cast<std::uint32_t>(s), validates);
    });
  }
  Report report = output.finish(std::move(parts), assemble::options_json(job, options));
  if (before != nullptr) directory.keep_others();
  directory.commit();
  return report;
}

}  // namespace tinygpt::prepare

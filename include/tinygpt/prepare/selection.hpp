// Which documents are left out because another one is the same, and which are for validation: by their fingerprints
// alone, so that the answer depends on neither order nor threads.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <vector>

#include <tinygpt/prepare/document_log.hpp>

namespace tinygpt::prepare {

/// Some records in a file: those of one source, or those that a dataset already holds.
struct Records {
  std::filesystem::path path;
  std::int64_t count = 0;
  std::int64_t first = 0;  ///< in the file

  /// Calls f(number, record) for each in order.
  template <class F> void for_each(F&& f) const {
    SequentialFile<DocumentRecord> file(path, first);
    for (std::int64_t i = 0; i < count; ++i) f(i, file.read());
  }
};

/// Marks every record but the first of those that have the same text. Memory: 24 bytes for each of `most` records at a
/// time, and a bit for each record.
class Duplicates {
 public:
  explicit Duplicates(const std::vector<Records>& all, std::int64_t most = std::int64_t{4} << 20) {
    std::int64_t count = 0;
    for (const Records& records : all) count += records.count;
    marks_.resize(static_cast<std::size_t>(count));
    const auto parts = static_cast<std::uint64_t>(count / most + 1);
    struct Entry {
      Fingerprint text;
      std::int64_t number;
    };
    for (std::uint64_t part = 0; part < parts; ++part) {
      std::vector<Entry> entries;
      std::int64_t first = 0;
      for (const Records& records : all) {
        records.for_each([&](std::int64_t i, const DocumentRecord& record) {
          if (record.text.low % parts == part) entries.push_back({record.text, first + i});
        });
        first += records.count;
      }
      std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return a.text != b.text ? a.text < b.text : a.number < b.number;
      });
      for (std::size_t i = 1; i < entries.size(); ++i) {
        if (entries[i].text == entries[i - 1].text) marks_[static_cast<std::size_t>(entries[i].number)] = true;
      }
    }
  }
  Duplicates() = default;

  /// `number` counts over all records in order.
  bool operator[](std::int64_t number) const { return !marks_.empty() && marks_[static_cast<std::size_t>(number)]; }

 private:
  std::vector<bool> marks_;
};

/// The texts that are for validation.
class ValidationSet {
 public:
  /// Adds those records of a source, of which skip(i) tells the ones that do not count, whose fingerprints are the
  /// lowest, until they hold as nearly as can be `fraction` of its tokens, and never all of its texts.
  template <class Skip> void choose(const Records& records, double fraction, Skip&& skip) {
    if (fraction <= 0) return;
    constexpr int shift = 48;
    std::vector<std::int64_t> tokens(std::size_t{1} << (64 - shift));
    std::int64_t total = 0;
    records.for_each([&](std::int64_t i, const DocumentRecord& record) {
      if (skip(i)) return;
      tokens[record.text.high >> shift] += record.tokens;
      total += record.tokens;
    });
    // The bucket in which the wanted sum is reached is looked at closely.
    const double wanted = fraction * static_cast<double>(total);
    std::int64_t before = 0;
    std::uint64_t bucket = 0;
    while (bucket + 1 < tokens.size() && static_cast<double>(before + tokens[bucket]) < wanted)
      before += tokens[bucket++];
    std::vector<std::pair<std::uint64_t, std::int64_t>> near;
    records.for_each([&](std::int64_t i, const DocumentRecord& record) {
      if (!skip(i) && record.text.high >> shift == bucket) near.push_back({record.text.high, record.tokens});
    });
    std::sort(near.begin(), near.end());
    std::uint64_t below = bucket << shift;
    double error = std::abs(static_cast<double>(before) - wanted);
    for (std::size_t i = 0; i < near.size(); ++i) {
      before += near[i].second;
      if (i + 1 < near.size() && near[i + 1].first == near[i].first) continue;  // the same text goes the same way
      if (before < total && std::abs(static_cast<double>(before) - wanted) < error) {
        error = std::abs(static_cast<double>(before) - wanted);
        below = near[i].first + 1;
      }
    }
    records.for_each([&](std::int64_t i, const DocumentRecord& record) {
      if (!skip(i) && record.text.high < below) add(record.text);
    });
  }

  void add(const Fingerprint& text) { texts_.push_back(text.high); }
  /// After the last add() and before the first contains().
  void sort() {
    std::sort(texts_.begin(), texts_.end());
    texts_.erase(std::unique(texts_.begin(), texts_.end()), texts_.end());
    removed_.assign(texts_.size(), false);
  }
  /// It was trained on before, so it is no use for validation.
  void remove(const Fingerprint& text) {
    if (const auto at = find(text); at != texts_.end()) removed_[static_cast<std::size_t>(at - texts_.begin())] = true;
  }
  bool contains(const Fingerprint& text) const {
    const auto at = find(text);
    return at != texts_.end() && !removed_[static_cast<std::size_t>(at - texts_.begin())];
  }
  bool none_added() const { return texts_.empty(); }

 private:
  std::vector<std::uint64_t>::const_iterator find(const Fingerprint& text) const {
    const auto at = std::lower_bound(texts_.begin(), texts_.end(), text.high);
    return at != texts_.end() && *at == text.high ? at : texts_.end();
  }

  std::vector<std::uint64_t> texts_;
  std::vector<bool> removed_;
};

}  // namespace tinygpt::prepare

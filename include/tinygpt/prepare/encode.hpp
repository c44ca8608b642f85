// From sources to logs of encoded documents, by many threads, so that a run that is killed goes on where it was.
#pragma once

#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/json.hpp>
#include <tinygpt/prepare/document.hpp>
#include <tinygpt/prepare/document_log.hpp>
#include <tinygpt/prepare/filter.hpp>
#include <tinygpt/prepare/pipeline.hpp>

namespace tinygpt::prepare {

/// What is to be encoded, and how.
struct Job {
  std::vector<Source> sources;
  std::string separator;       ///< ends a document in plain text; empty: the end of a file does
  std::string field = "text";  ///< member of a JSONL row
  Filters filters;
  bool skip_bad = false;                        ///< count what cannot be read instead of stopping there
  SpecialText special = SpecialText::ordinary;  ///< of all texts
  int threads = 1;
};

/// What became of a source's documents. A long text counts once for each of its parts.
struct Counts {
  std::int64_t documents = 0, bytes = 0, tokens = 0;  ///< that were encoded
  std::int64_t empty = 0, too_short = 0, too_long = 0, bad = 0;
};

/// Calls f(name, member) for each.
template <class C, class F> void for_each_count(C& c, F&& f) {
  f("documents", c.documents), f("bytes", c.bytes), f("tokens", c.tokens);
  f("empty", c.empty), f("too_short", c.too_short), f("too_long", c.too_long), f("bad", c.bad);
}

/// Bytes of a token in logs and shards.
inline int token_bytes(const Tokenizer& tokenizer) { return tokenizer.size() <= 65536 ? 2 : 4; }

namespace encode {

/// Tokens as the logs hold them, in blocks: those of a long document are never copied to make room for more.
class TokenBlocks {
 public:
  explicit TokenBlocks(int token_bytes) : width_(static_cast<std::size_t>(token_bytes)) {}

  void append(std::span<const std::int32_t> ids) {
    for (const std::int32_t id : ids) {
      if (blocks_.empty() || blocks_.back().size() == block_bytes) {
        blocks_.emplace_back();
        blocks_.back().reserve(block_bytes);
      }
      std::byte bytes[sizeof id];
      std::memcpy(bytes, &id, sizeof id);  // little-endian, as the shards are
      blocks_.back().insert(blocks_.back().end(), bytes, bytes + width_);
    }
    size_ += ids.size();
  }
  std::size_t size() const { return size_; }
  const std::vector<std::vector<std::byte>>& blocks() const { return blocks_; }

 private:
  static constexpr std::size_t block_bytes = std::size_t{1} << 16;

  std::size_t width_, size_ = 0;
  std::vector<std::vector<std::byte>> blocks_;
};

struct Encoded {
  int source = 0;
  Fingerprint chunk;
  std::vector<DocumentRecord> documents;
  TokenBlocks tokens;
  Counts counts;
  std::vector<std::string> bad;  ///< the first ones, for the report
};

/// How many of the documents that could not be read are named in a report.
inline constexpr std::size_t most_named = 5;

inline Json job_json(const Job& job, const Tokenizer& tokenizer) {
  Json sources = Json::array();
  for (const Source& source : job.sources) {
    Json paths = Json::array();
    for (const Input& input : source.inputs) paths.push_back(bytes_text(input.path.string()));
    sources.push_back({{"name", source.name}, {"inputs", paths}});
  }
  Json json{{"sources", sources},
            {"separator", bytes_text(job.separator)},
            {"field", bytes_text(job.field)},
            {"lowercase", job.filters.lowercase},
            {"squeeze_whitespace", job.filters.squeeze_whitespace},
            {"min_bytes", job.filters.min_bytes},
            {"max_bytes", job.filters.max_bytes},
            {"skip_bad", job.skip_bad},
            {"tokenizer", std::to_string(tokenizer.hash())}};
  if (job.special == SpecialText::allowed) json["allow_special"] = true;  // without it, the key is that of before
  return json;
}

/// One thread's work.
class Worker {
 public:
  Worker(const Job& job, const Tokenizer& tokenizer)
      : job_(job), token_bytes_(token_bytes(tokenizer)), encoder_(tokenizer) {}

  /// A chunk, and whether the logs have it already: then only its fingerprint is asked for.
  Encoded operator()(std::pair<Chunk, bool>&& work) {
    const Chunk& chunk = work.first;
    Encoded result{chunk.source, fingerprint_of(chunk.text), {}, TokenBlocks(token_bytes_), {}, {}};
    if (work.second) return result;
    const Input& input =
        job_.sources[static_cast<std::size_t>(chunk.source)].inputs[static_cast<std::size_t>(chunk.input)];
    const auto bad = [&](const BadRow& row, const char* advice) {
      ++result.counts.bad;
      const std::string what = input.path.string() + ":" + std::to_string(row.line) + ": " + row.why;
      if (job_.skip_bad) {
        if (result.bad.size() < most_named) result.bad.push_back(bytes_text(what));
        return;
      }
      throw Error(what + ": " + advice + ", or leave such text out with --skip-bad");
    };
    const auto take = [&](const Document& document) {
      std::string_view text = document.text;
      switch (apply(job_.filters, text, changed_)) {
        case Verdict::empty:
          ++result.counts.empty;
          return;
        case Verdict::too_short:
          ++result.counts.too_short;
          return;
        case Verdict::too_long:
          ++result.counts.too_long;
          return;
        case Verdict::keep:
          break;
      }
      const std::size_t before = result.tokens.size();
      try {
        encoder_.encode_in_pieces(text, job_.special,
                                  [&](std::span<const std::int32_t> ids) { result.tokens.append(ids); });
      } catch (const Error&) {
        const auto at = static_cast<std::int64_t>(document.at);
        bad(BadRow{line_of(chunk, document.at), chunk.offset + at, unknown(text)}, "use a tokenizer that has it");
        return;
      }
      const auto tokens = static_cast<std::uint32_t>(result.tokens.size() - before);
      result.documents.push_back({fingerprint_of(text), static_cast<std::uint32_t>(text.size()), tokens,
                                  static_cast<std::uint32_t>(chunk.source), document.ends ? 1u : 0u});
      ++result.counts.documents;
      result.counts.bytes += static_cast<std::int64_t>(text.size());
      result.counts.tokens += tokens;
    };
    const char* const advice = input.layout == Layout::jsonl
                                   ? "correct the row"
                                   : "convert the file, for example with iconv -f LATIN1 -t UTF-8";
    const auto unreadable = [&](const BadRow& row) { bad(row, advice); };
    for_each_document(chunk, input.layout, job_.separator, job_.field, take, unreadable);
    return result;
  }

 private:
  /// Which character of a text has no token.
  std::string unknown(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
      std::size_t end = i + 1;
      while (end < text.size() && !begins_character(text[end])) ++end;
      const auto character = text.substr(i, end - i);
      try {
        tokens_.clear();
        encoder_.encode(character, tokens_);
      } catch (const Error&) {
        return "the tokenizer has no token for the character '" + printable(character) + "'";
      }
      i = end;
    }
    return "the tokenizer cannot encode it";
  }

  const Job& job_;
  int token_bytes_;
  Encoder encoder_;
  std::vector<std::int32_t> tokens_;
  std::string changed_;
};

}  // namespace encode

/// The logs of a job in a directory, and how far they are.
class Encoding {
 public:
  struct Progress {
    std::int64_t bytes_read = 0, bytes_total = 0;  ///< of the inputs as they lie there
    std::int64_t text_bytes = 0, tokens = 0;       ///< that this run encoded
  };

  /// Goes on with what `directory` holds of the same job.
  Encoding(std::filesystem::path directory, const Job& job, const Tokenizer& tokenizer)
      : directory_(std::move(directory)),
        job_(job),
        tokenizer_(tokenizer),
        counts_(job.sources.size()),
        bad_(job.sources.size()) {
    job_text_ = fingerprint_of(encode::job_json(job, tokenizer).dump()).text();
    if (!restore()) restart();
  }

  /// False where `stopped` said so; then another call, or another run, goes on. What is not as it was when this job was
  /// begun is encoded anew.
  template <class Show, class Stopped> bool run(Show&& show, Stopped&& stopped) {
    for (;;) {
      try {
        return pass(show, stopped);
      } catch (const Changed&) {
        restart();
      }
    }
  }

  std::int64_t chunks_known() const { return known_; }
  const std::vector<Counts>& counts() const { return counts_; }
  /// Of each source, the first documents that could not be read: where they are, and why.
  const std::vector<std::vector<std::string>>& bad() const { return bad_; }
  /// Of all inputs in order, when run() is done.
  const std::vector<Fingerprint>& fingerprints() const { return fingerprints_; }
  std::filesystem::path documents_path(std::size_t source) const { return path(source, ".documents"); }
  std::filesystem::path tokens_path(std::size_t source) const { return path(source, ".tokens"); }

 private:
  struct Changed {};
  struct Logs {
    GrowingFile documents, tokens;
  };

  std::filesystem::path path(std::size_t source, const char* kind) const {
    return directory_ / (std::to_string(source) + kind);
  }
  std::filesystem::path progress_path() const { return directory_ / "progress.json"; }

  void restart() {
    logs_.clear();
    known_ = 0;
    chain_ = {};
    counts_.assign(job_.sources.size(), {});
    bad_.assign(job_.sources.size(), {});
    open_logs();
  }

  void open_logs() {
    for (std::size_t s = 0; s < counts_.size(); ++s) {
      logs_.push_back({GrowingFile(documents_path(s), counts_[s].documents * std::int64_t{sizeof(DocumentRecord)}),
                       GrowingFile(tokens_path(s), counts_[s].tokens * token_bytes(tokenizer_))});
    }
  }

  /// False where there is nothing to go on with.
  bool restore() {
    std::error_code error;
    if (!std::filesystem::exists(progress_path(), error)) return false;
    try {
      const Json json = read_json(progress_path());
      if (member<std::string>(json, "job", progress_path()) != job_text_) return false;
      known_ = member<std::int64_t>(json, "chunks", progress_path());
      chain_ = {member<std::uint64_t>(json, "chain_high", progress_path()),
                member<std::uint64_t>(json, "chain_low", progress_path())};
      const Json& sources = json.at("sources");
      if (!sources.is_array() || sources.size() != counts_.size() || known_ < 0) return false;
      for (std::size_t s = 0; s < counts_.size(); ++s) {
        for_each_count(counts_[s], [&](const char* name, std::int64_t& count) {
          count = member<std::int64_t>(sources[s], name, progress_path());
          if (count < 0) throw damaged(progress_path(), "a count is below 0");
        });
        if (sources[s].contains("first_bad")) bad_[s] = sources[s]["first_bad"].get<std::vector<std::string>>();
      }
      open_logs();
      return true;
    } catch (const DamagedFile&) {
      return false;  // it only saves time
    } catch (const Json::exception&) {
      return false;
    }
  }

  void save() {
    Json sources = Json::array();
    for (std::size_t s = 0; s < counts_.size(); ++s) {
      logs_[s].documents.sync();
      logs_[s].tokens.sync();
      Json counts;
      for_each_count(counts_[s], [&](const char* name, std::int64_t count) { counts[name] = count; });
      counts["first_bad"] = bad_[s];
      sources.push_back(counts);
    }
    write_file_atomically(progress_path(), json_text({{"job", job_text_},
                                                      {"chunks", known_},
                                                      {"chain_high", chain_.high},
                                                      {"chain_low", chain_.low},
                                                      {"sources", sources}}));
  }

  template <class Show, class Stopped> bool pass(Show& show, Stopped& stopped) {
    using Clock = std::chrono::steady_clock;
    ChunkReader reader(job_.sources, job_.separator);
    Progress progress;
    for (const Source& source : job_.sources) {
      for (const Input& input : source.inputs) progress.bytes_total += input.bytes;
    }
    const std::int64_t known = known_;
    std::int64_t taken = 0, given = 0;
    Fingerprint chain;
    std::atomic<std::int64_t> bytes_read{0};
    bool stopped_early = false;
    auto saved = Clock::now();

    const auto next = [&]() -> std::optional<std::pair<Chunk, bool>> {
      if (stopped()) {
        stopped_early = true;
        return std::nullopt;
      }
      auto chunk = reader.next();
      bytes_read = reader.bytes_read();
      if (!chunk) return std::nullopt;
      return std::pair<Chunk, bool>{std::move(*chunk), taken++ < known};
    };
    const auto sink = [&](encode::Encoded&& result) {
      const std::uint64_t links[] = {chain.high, chain.low, result.chunk.high, result.chunk.low,
                                     static_cast<std::uint64_t>(result.source)};
      chain = fingerprint_of(std::string_view(reinterpret_cast<const char*>(links), sizeof links));
      if (++given == known && chain != chain_) throw Changed();
      if (given > known) {
        append(result);
        known_ = given, chain_ = chain;
        progress.text_bytes += result.counts.bytes, progress.tokens += result.counts.tokens;
      }
      progress.bytes_read = bytes_read;
      show(std::as_const(progress));
      if (const auto now = Clock::now(); given > known && now - saved > std::chrono::seconds(5)) {
        save();
        saved = now;
      }
    };
    try {
      in_order(
          job_.threads, next, [&] { return encode::Worker(job_, tokenizer_); }, sink,
          [](const std::pair<Chunk, bool>& work) { return LargeChunk()(work.first); });
    } catch (const Changed&) {
      throw;
    } catch (...) {
      if (given >= known) save();
      throw;
    }
    if (given < known && !stopped_early) throw Changed();
    if (given >= known) save();
    fingerprints_ = reader.fingerprints();
    return !stopped_early;
  }

  void append(const encode::Encoded& result) {
    const auto s = static_cast<std::size_t>(result.source);
    logs_[s].documents.write(std::as_bytes(std::span(result.documents)));
    for (const auto& block : result.tokens.blocks()) logs_[s].tokens.write(block);
    for (const std::string& bad : result.bad) {
      if (bad_[s].size() < encode::most_named) bad_[s].push_back(bad);
    }
    std::vector<std::int64_t> more;
    for_each_count(result.counts, [&](const char*, std::int64_t count) { more.push_back(count); });
    auto at = more.begin();
    for_each_count(counts_[s], [&](const char*, std::int64_t& count) { count += *at++; });
  }

  std::filesystem::path directory_;
  const Job& job_;
  const Tokenizer& tokenizer_;
  std::string job_text_;
  std::vector<Logs> logs_;
  std::vector<Counts> counts_;
  std::vector<std::vector<std::string>> bad_;
  std::int64_t known_ = 0;  ///< chunks in the logs
  Fingerprint chain_;       ///< of those chunks
  std::vector<Fingerprint> fingerprints_;
};

}  // namespace tinygpt::prepare

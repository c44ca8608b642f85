// tinygpt prepare: from folders of text to a dataset of token shards.
#pragma once

#include <array>
#include <atomic>
#include <string>
#include <vector>

#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/tool/prepare_flags.hpp>
#include <tinygpt/cli/tool/prepare_report.hpp>
#include <tinygpt/io/directory_lock.hpp>
#include <tinygpt/io/tokenizer_files.hpp>
#include <tinygpt/prepare/assemble_sources.hpp>
#include <tinygpt/prepare/mix.hpp>

namespace tinygpt::cli::tool {
namespace preparation {

/// Where the work lies until the dataset is whole. It stays where the work was stopped, for the same command to resume,
/// unless nothing came into it. The lock on the output is one on it, too.
class WorkDirectory {
 public:
  explicit WorkDirectory(const std::filesystem::path& out) : path_(sibling::of(out, "prepare")) {
    if (::mkdir(path_.c_str(), 0777) == 0) return;
    if (errno != EEXIST) throw file_error("create", path_, errno);
    std::error_code error;
    if (!std::filesystem::is_directory(std::filesystem::symlink_status(path_, error))) {
      throw file_error("create", path_, ENOTDIR);
    }
  }
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;
  ~WorkDirectory() { ::rmdir(path_.c_str()); }  // refused where there is something in it

  const std::filesystem::path& path() const { return path_; }
  void remove() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

 private:
  std::filesystem::path path_;
};

/// Which bytes the sources hold, after the filters.
inline std::array<bool, 256> bytes_of(const prepare::Job& job) {
  std::array<bool, 256> all{};
  prepare::ChunkReader reader(job.sources, job.separator);
  const auto worker = [&] {
    return [&job](prepare::Chunk&& chunk) {
      std::array<bool, 256> seen{};
      const prepare::Layout layout =
          job.sources[static_cast<std::size_t>(chunk.source)].inputs[static_cast<std::size_t>(chunk.input)].layout;
      std::string changed;
      const auto take = [&](const prepare::Document& document) {
        std::string_view text = document.text;
        if (apply(job.filters, text, changed) != prepare::Verdict::keep) return;
        for (const char c : text) seen[static_cast<unsigned char>(c)] = true;
      };
      for_each_document(chunk, layout, job.separator, job.field, take, [](const prepare::BadRow&) {});
      return seen;
    };
  };
  prepare::in_order(
      job.threads,
      [&] {
        may_stop_here();
        return reader.next();
      },
      worker,
      [&](std::array<bool, 256>&& seen) {
        for (std::size_t i = 0; i < seen.size(); ++i) all[i] |= seen[i];
      },
      prepare::LargeChunk());
  return all;
}

inline Tokenizer tokenizer_for(const PrepareFlags& flags) {
  if (flags.append) return load_tokenizer(std::filesystem::path(flags.out) / "tokenizer.json");
  if (flags.tokenizer.empty() || flags.tokenizer == "bytes") return Tokenizer::bytes();
  if (flags.tokenizer != "characters") return load_tokenizer(flags.tokenizer);
  auto seen = bytes_of(flags.job);
  seen['\n'] = true;  // it parts documents
  return Tokenizer::characters(seen);
}

inline void check(const PrepareFlags& flags) {
  if (flags.out.empty()) throw UsageError("prepare needs --out DIR, the directory of the dataset: see --help");
  if (flags.sources.empty() == flags.mix.empty()) {
    throw UsageError("prepare needs either --source NAME:GLOB or --mix DIR:RATIO: see --help");
  }
  if (flags.append && !flags.mix.empty()) {
    throw UsageError("--append adds sources, not datasets: give another --out, and the first dataset with --mix, too");
  }
  if (flags.append && !flags.tokenizer.empty()) {
    throw UsageError("--append takes the tokenizer of the dataset: leave --tokenizer out");
  }
  if (flags.job.filters.min_bytes > flags.job.filters.max_bytes) {
    throw UsageError("--min-bytes is above --max-bytes: nothing would be left");
  }
}

/// What is at --out is what the command is for. Under its lock, so that what is found stays so.
inline void check_out(const PrepareFlags& flags) {
  std::error_code error;
  const std::filesystem::path out = flags.out, json = out / "dataset.json";
  if (std::filesystem::exists(out, error) && !std::filesystem::is_directory(out, error)) {
    throw Error(flags.out + " is a file: give a directory with --out");
  }
  if (flags.append && !std::filesystem::exists(json, error)) {
    throw Error(flags.out + " holds no dataset that tinygpt prepared: leave --append out to make one");
  }
  if (!flags.append && std::filesystem::exists(json, error)) {
    throw Error(flags.out + " already holds a dataset: add to it with --append, or give another --out");
  }
  if (!flags.append && std::filesystem::exists(out, error) && !std::filesystem::is_empty(out, error)) {
    throw Error(flags.out + " is not empty: give another directory with --out");
  }
}

inline Exit finish(const prepare::Report& report, const PrepareFlags& flags, const Tokenizer& tokenizer,
                   Display& display) {
  display.end();
  if (flags.json) return tool::print(report_json(report, flags.out));
  print(report, flags.out, tokenizer, flags.options);
  return Exit::done;
}

inline Exit from_sources(PrepareFlags& flags) {
  const Signals signals;
  flags.job.sources = sources(flags);
  Display display(flags.json);
  WorkDirectory work(flags.out);
  const auto stopped = [&] {
    display.end();
    std::error_code error;
    if (std::filesystem::is_empty(work.path(), error)) {
      std::printf("stopped; nothing was written\n");
    } else {
      std::printf("stopped; what is done is kept in %s: the same command goes on from there\n", work.path().c_str());
    }
    return static_cast<Exit>(128 + Signals::received());
  };
  std::optional<StopPoints> points;  // while nothing would be lost
  const auto may_stop = [&] { points.emplace([] { return Signals::received() != 0; }); };
  try {
    may_stop();
    std::optional<Dataset> before;
    if (flags.append) before = read_dataset(flags.out);
    const Tokenizer tokenizer = tokenizer_for(flags);
    points.reset();
    prepare::Encoding encoding(work.path(), flags.job, tokenizer);
    if (encoding.chunks_known() > 0) display.say("going on where an earlier run of this command was stopped");
    const bool whole = encoding.run([&](const auto& progress) { display.encoding(progress); },
                                    [&] { return signals.received() != 0; });
    if (!whole) return stopped();
    may_stop();
    const auto report =
        prepare::assemble_sources(flags.out, before ? &before->json : nullptr, flags.job, encoding, tokenizer,
                                  flags.options, [&](std::int64_t tokens) { display.writing(tokens); });
    points.reset();
    work.remove();
    return finish(report, flags, tokenizer, display);
  } catch (const Interrupted&) {
    return stopped();
  }
}

inline Exit from_datasets(const PrepareFlags& flags) {
  std::vector<prepare::Ingredient> ingredients;
  std::vector<double> weights;
  for (const std::string& text : flags.mix) {
    const auto [directory, weight] = weighted("--mix", text);
    weights.push_back(weight);
    if (weight > 0) ingredients.push_back({directory, weight});
  }
  refuse_zero_weights("--mix", weights);
  Display display(flags.json);
  const prepare::Mixed mixed = prepare::assemble_mix(flags.out, ingredients, flags.options, flags.job.threads,
                                                     [&](std::int64_t tokens) { display.writing(tokens); });
  if (mixed.crossing > 0) {
    display.say(
        "! " + grouped(mixed.crossing) +
        " texts are for training in one of these datasets and for validation in another: the validation loss will "
        "look better than it is");
  }
  return finish(mixed.report, flags, mixed.tokenizer, display);
}

}  // namespace preparation

inline Exit run(PrepareFlags& flags) {
  preparation::check(flags);
  if (!flags.total_tokens.empty()) {
    flags.options.mixture.total_tokens = static_cast<std::int64_t>(parse_count("--total-tokens", flags.total_tokens));
  }
  flags.out = sibling::resolved(flags.out).string();
  std::error_code error;
  std::filesystem::create_directories(sibling::parent_of(flags.out), error);
  if (error) throw file_error("create", sibling::parent_of(flags.out), error.value());
  const OutputLock lock(flags.out);
  preparation::check_out(flags);
  if (flags.mix.empty()) return preparation::from_sources(flags);
  return until_signal([&] { return preparation::from_datasets(flags); });
}

}  // namespace tinygpt::cli::tool

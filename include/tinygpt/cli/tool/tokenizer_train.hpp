// tinygpt tokenizer train: learns byte-level BPE from files.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/left_out.hpp>
#include <tinygpt/cli/tool/validate.hpp>
#include <tinygpt/data/bpe_trainer.hpp>
#include <tinygpt/data/word_counter.hpp>
#include <tinygpt/io/directory_lock.hpp>
#include <tinygpt/io/tokenizer_files.hpp>
#include <tinygpt/prepare/chunk.hpp>
#include <tinygpt/prepare/document.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli::tool {

struct TokenizerTrainFlags {
  static constexpr const char *name = "train", *about = "Learn a tokenizer from text";
  std::vector<std::string> inputs, special, exclude;
  std::string out, field = "text", separator;
  Pattern pattern = Pattern::gpt2;
  std::optional<int> vocab_size;
  int threads = 1;
  bool json = false, skip_bad = false;
};

namespace tokenizer_training {

inline constexpr config_text::Words<Pattern, 2> patterns{{{Pattern::gpt2, "gpt2"}, {Pattern::gpt4, "gpt4"}}};

/// Ctrl-C or SIGTERM came.
struct Stopped {};

/// How far it is: a bar on a terminal, else a line every ten seconds; nothing beside JSON.
class Display {
 public:
  explicit Display(bool quiet) : quiet_(quiet), bar_(!quiet && on_terminal()) {}

  void begin() { begun_ = Clock::now(); }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

  /// Throws Stopped where a signal came.
  template <class What> void show(std::int64_t done, std::int64_t total, const What& what) {
    if (signals_.received() != 0) throw Stopped();
    const auto now = Clock::now();
    if (quiet_ || now - shown_ < (bar_.shown() ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10'000))) {
      return;
    }
    shown_ = now;
    const double passed = seconds(),
                 part = static_cast<double>(done) / static_cast<double>(std::max<std::int64_t>(total, 1));
    const auto [left, right] = what(passed > 0 ? static_cast<double>(done) / passed : 0);
    const std::string eta = part > 0 ? "  eta " + duration_text(passed * (1 - part) / part) : "";
    if (bar_.shown()) return bar_.draw(left, done, total, right + eta);
    std::printf("%s  %s\n", left.c_str(), (right + eta).c_str());
    std::fflush(stdout);
  }
  void end() { bar_.clear(); }
  int signal() const { return signals_.received(); }

 private:
  using Clock = std::chrono::steady_clock;
  const bool quiet_;
  ProgressBar bar_;
  const Signals signals_;
  Clock::time_point begun_ = Clock::now(), shown_ = begun_;
};

/// The files that --input names, each once.
inline std::vector<prepare::Source> sources(const TokenizerTrainFlags& flags) {
  prepare::Source source{"--input", flags.inputs, 0, {}};
  find_inputs(source, {flags.exclude, flags.skip_bad});
  return {std::move(source)};
}

/// Texts that could not be read: how many, and the first of them.
struct LeftOut {
  std::int64_t count = 0;
  std::vector<std::string> first;
};

/// Counts the words of all inputs. A file of plain text is one text, or those between separators; a row of JSONL is
/// one.
inline WordCounts count_words(const TokenizerTrainFlags& flags, const std::vector<prepare::Source>& sources,
                              Display& display, LeftOut& left_out) {
  const auto& inputs = sources.front().inputs;
  std::int64_t total = 0;
  for (const prepare::Input& input : inputs) total += input.bytes;
  WordCounter counter(flags.pattern, flags.threads);
  prepare::ChunkReader reader(sources, flags.separator);
  while (const auto chunk = reader.next()) {
    const prepare::Input& input = inputs[static_cast<std::size_t>(chunk->input)];
    if (input.layout == prepare::Layout::text && flags.separator.empty() && !first_utf8_fault(chunk->text)) {
      // In one piece with what follows, where prepare would part documents.
      counter.add(chunk->text);
      if (chunk->ends_document) counter.end_text();
    } else {
      const bool parts = input.layout == prepare::Layout::text && flags.separator.empty();
      const auto take = [&](const prepare::Document& document) {
        counter.add(document.text);
        if (document.ends) counter.end_text();
      };
      const auto bad = [&](const prepare::BadRow& row) {
        const std::string what = input.path.string() + ":" + std::to_string(row.line) + ": " + row.why;
        if (!flags.skip_bad) {
          throw Error(what + (input.layout == prepare::Layout::jsonl
                                  ? ": correct the row, or leave such rows out with --skip-bad"
                                  : ": convert the file, for example with iconv -f LATIN1 -t UTF-8, or leave such text "
                                    "out with --skip-bad"));
        }
        if (++left_out.count <= static_cast<std::int64_t>(most_named)) left_out.first.push_back(what);
        if (parts) counter.end_text();  // what follows is not the next word
      };
      for_each_document(*chunk, input.layout, flags.separator, flags.field, take, bad);
    }
    display.show(reader.bytes_read(), total, [&](double rate) {
      return std::pair("read " + size_text(reader.bytes_read()) + "/" + size_text(total),
                       format("%.1f MB/s", rate / 1e6));
    });
  }
  return counter.finish();
}

/// Throws where the files could not be written after all the work.
inline void expect_writable(const std::filesystem::path& out) {
  std::error_code error;
  for (const char* const name : {"tokenizer.json", "vocab.json", "merges.txt", "encoder.json", "vocab.bpe"}) {
    if (std::filesystem::exists(out / name, error)) {
      throw Error(out.string() + " already holds a tokenizer, " + name + ": give another directory with --out");
    }
  }
  std::filesystem::path there = std::filesystem::absolute(out).lexically_normal();
  while (!std::filesystem::exists(there, error) && there.has_parent_path() && there != there.parent_path()) {
    there = there.parent_path();
  }
  if (!std::filesystem::is_directory(there, error)) throw file_error("create", out, ENOTDIR);
  if (::access(there.c_str(), W_OK | X_OK) != 0) throw file_error("write to", there, errno);
}

inline void check(const TokenizerTrainFlags& flags) {
  if (flags.inputs.empty()) throw UsageError("tokenizer train needs --input FILE, a text to learn from: see --help");
  if (!flags.vocab_size) throw UsageError("tokenizer train needs --vocab-size N, such as 16000: see --help");
  if (flags.out.empty()) throw UsageError("tokenizer train needs --out DIR, a directory for the tokenizer: see --help");
  try {
    expect_special_tokens(flags.special);
  } catch (const Error& error) {
    throw UsageError("--special: " + std::string(error.what()));
  }
  const int least = 256 + static_cast<int>(flags.special.size());
  if (*flags.vocab_size < least) {
    throw UsageError("--vocab-size must be " + std::to_string(least) + " or more, for the 256 bytes and " +
                     std::to_string(flags.special.size()) +
                     (flags.special.size() == 1 ? " special token" : " special tokens") + ", not " +
                     std::to_string(*flags.vocab_size));
  }
  expect_writable(flags.out);
}

}  // namespace tokenizer_training

inline void add_flags(CLI::App& app, TokenizerTrainFlags& flags) {
  namespace training = tokenizer_training;
  flags.threads = std::min(hardware_threads(), 8);
  app.add_option("--input", flags.inputs,
                 "Files, folders or patterns: plain text or JSONL (.jsonl), also .gz and .zst; required")
      ->type_name("FILE");
  const auto set_size = [&](const std::string& text) {
    flags.vocab_size = parse_number<int>("--vocab-size", text, positive_int);
  };
  app.add_option_function<std::string>("--vocab-size", set_size,
                                       "Tokens, with the 256 bytes and the special ones; required")
      ->type_name("N")
      ->take_last();
  add_path(app, "--out", "Directory for the tokenizer; required", "DIR", flags.out);
  add_choice<Pattern>(app, "--pattern", "Whose way to cut text into words: gpt2, or gpt4 (Llama 3's, too)", "gpt2",
                      training::patterns, [&](Pattern pattern) { flags.pattern = pattern; });
  app.add_option("--special", flags.special, "A special token; repeatable (default <|endoftext|>)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  add_text(app, "--field", "Member of a JSONL row that holds the text (default text)", "NAME", flags.field);
  add_text(
      app, "--separator",
      "What ends a document in plain text, such as '<|endoftext|>', and is not learned (default: the end of the file)",
      "TEXT", flags.separator);
  add_exclude(app, flags.exclude);
  app.add_flag("--skip-bad", flags.skip_bad, "Leave out rows, texts and files that cannot be read, and say which");
  add_number<int>(app, "--threads", "Threads that count words; any number gives the same tokenizer",
                  std::to_string(flags.threads),
                  Range<int>{"a whole number from 1 to 256", [](int n) { return n >= 1 && n <= 256; }},
                  [&](int n) { flags.threads = n; });
  app.add_flag("--json", flags.json, "Print the report as JSON");
}

inline Exit run(TokenizerTrainFlags& flags) {
  namespace training = tokenizer_training;
  if (flags.special.empty()) flags.special.emplace_back("<|endoftext|>");
  training::check(flags);
  const LockedDirectory lock(flags.out, flags.out + " is in use by another process: wait for it, or give another --out");
  training::expect_writable(flags.out);  // again, now that nobody else may change it
  const auto sources = training::sources(flags);
  const int vocab_size = *flags.vocab_size;
  training::Display display(flags.json);
  try {
    training::LeftOut left_out;
    WordCounts words = training::count_words(flags, sources, display, left_out);
    if (words.size() == 0)
      throw Error("there is no text in the input: give a text of about a million characters or more");
    const std::size_t different = words.size();
    const double counting = display.seconds();
    display.begin();
    const LearnedTokenizer learned = train_bpe(
        std::move(words), {vocab_size, flags.pattern, flags.special}, [&](std::int64_t done, std::int64_t total) {
          display.show(done, total, [&](double rate) {
            return std::pair("learned " + grouped(done) + "/" + grouped(total), short_count(rate) + " tokens/s");
          });
        });
    const double merging = display.seconds();
    const Tokenizer& tokenizer = learned.tokenizer;
    save_tokenizer(tokenizer, flags.out);
    display.end();
    const double per_token = static_cast<double>(learned.bytes) / static_cast<double>(learned.tokens);
    if (flags.json) {
      return print({{"out", flags.out},
                    {"size", tokenizer.size()},
                    {"merges", tokenizer.vocabulary().merges().size()},
                    {"files", sources.front().inputs.size()},
                    {"passed_over", sources.front().passed_over.size()},
                    {"bad", left_out.count},
                    {"bytes", learned.bytes},
                    {"different_words", different},
                    {"bytes_per_token", per_token},
                    {"hash", hash_text(tokenizer.hash())},
                    {"seconds", counting + merging}});
    }
    const std::size_t files = sources.front().inputs.size();
    std::printf("%s of text in %zu %s, %s different words; read in %.1f s, learned in %.1f s\n",
                size_text(learned.bytes).c_str(), files, files == 1 ? "file" : "files",
                grouped(static_cast<std::int64_t>(different)).c_str(), counting, merging);
    if (tokenizer.size() < vocab_size) {
      std::printf("The text has too few words for %s tokens: it gives %s.\n", grouped(vocab_size).c_str(),
                  grouped(tokenizer.size()).c_str());
    }
    if (left_out.count > 0) {
      std::printf("  ! left out: %s not readable: %s\n", grouped(left_out.count).c_str(),
                  named_text(left_out.first, left_out.count).c_str());
    }
    for (const std::string& remark :
         file_remarks("--input", sources.front().passed_over, sources.front().rows_as_text)) {
      std::printf("  ! %s\n", one_line(remark).c_str());
    }
    std::printf("%s: %s; %.2f bytes of this text per token\n", one_line(flags.out).c_str(),
                tokenizer.description().c_str(), per_token);
    return Exit::done;
  } catch (const training::Stopped&) {
    display.end();
    std::printf("stopped; nothing was written\n");
    return static_cast<Exit>(128 + display.signal());
  }
}

}  // namespace tinygpt::cli::tool

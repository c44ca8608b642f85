// tinygpt tokenizer train | encode | decode | info | convert: what a text is for a model, and back.
#pragma once

#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/tokenizer_train.hpp>
#include <tinygpt/cli/tool/validate.hpp>
#include <tinygpt/data/file_kind.hpp>
#include <tinygpt/data/regular_file.hpp>
#include <tinygpt/io/tokenizer_files.hpp>

namespace tinygpt::cli::tool {

struct EncodeFlags {
  static constexpr const char *name = "encode", *about = "Turn text into token ids";
  std::string tokenizer, input_file;
  std::optional<std::string> text;
  SpecialText special = SpecialText::ordinary;
  bool pieces = false, json = false;
};

struct DecodeFlags {
  static constexpr const char *name = "decode", *about = "Turn token ids into text";
  std::string tokenizer, input_file;
  std::vector<std::string> ids;
  bool bytes = false;
};

struct TokenizerInfoFlags {
  static constexpr const char *name = "info", *about = "Say what a tokenizer is";
  std::string tokenizer;
  bool json = false;
};

struct TokenizerConvertFlags {
  static constexpr const char *name = "convert", *about = "Write a tokenizer in the files of another program";
  std::string tokenizer, out;
  TokenizerFiles format = TokenizerFiles::tokenizer_json;
};

/// Each is a command of its own below "tokenizer".
struct TokenizerFlags {
  static constexpr const char *command = "tokenizer", *about = "Learn a tokenizer; turn text into tokens and back";
  std::tuple<TokenizerTrainFlags, EncodeFlags, DecodeFlags, TokenizerInfoFlags, TokenizerConvertFlags> commands;
  std::vector<CLI::App*> apps;
};

inline void add_tokenizer_flag(CLI::App& app, std::string& path) {
  add_path(app, "--tokenizer", "Directory or file of a tokenizer, or the directory of a model; required", "PATH", path);
}

inline void add_flags(CLI::App& app, EncodeFlags& flags) {
  app.add_option("TEXT", flags.text, "The text (default standard input)");
  add_tokenizer_flag(app, flags.tokenizer);
  add_path(app, "--input-file", "Read the text from this file, as it is", "FILE", flags.input_file);
  app.add_flag_callback(
      "--allow-special", [&flags] { flags.special = SpecialText::allowed; },
      "Where the text names a special token, take that token");
  app.add_flag("--pieces", flags.pieces, "Print each id with its piece of the text, one on a line");
  app.add_flag("--json", flags.json, "Print JSON");
}

inline void add_flags(CLI::App& app, DecodeFlags& flags) {
  app.add_option("IDS", flags.ids, "The ids (default standard input)");
  add_tokenizer_flag(app, flags.tokenizer);
  add_path(app, "--input-file", "Read the ids from this file", "FILE", flags.input_file);
  app.add_flag("--bytes", flags.bytes,
               "Write the bytes as they are, also where they are no characters; else those become U+FFFD");
}

inline void add_flags(CLI::App& app, TokenizerInfoFlags& flags) {
  add_tokenizer_flag(app, flags.tokenizer);
  app.add_flag("--json", flags.json, "Print JSON");
}

inline constexpr config_text::Words<TokenizerFiles, 3> tokenizer_formats{
    {{TokenizerFiles::tokenizer_json, "tokenizer.json"},
     {TokenizerFiles::vocab_and_merges, "vocab.json"},
     {TokenizerFiles::openai, "encoder.json"}}};

inline void add_flags(CLI::App& app, TokenizerConvertFlags& flags) {
  add_tokenizer_flag(app, flags.tokenizer);
  add_path(app, "--out", "Directory for the files; required", "DIR", flags.out);
  add_choice<TokenizerFiles>(
      app, "--format", "Which files: tokenizer.json, vocab.json (with merges.txt) or encoder.json (with vocab.bpe)",
      "tokenizer.json", tokenizer_formats, [&](TokenizerFiles f) { flags.format = f; });
}

inline void add_flags(CLI::App& app, TokenizerFlags& flags) {
  const auto add = [&](auto& command) {
    flags.apps.push_back(app.add_subcommand(command.name, command.about));
    add_flags(*flags.apps.back(), command);
  };
  std::apply([&](auto&... each) { (add(each), ...); }, flags.commands);
}

inline Tokenizer required_tokenizer(const std::string& path, const std::string& command) {
  if (path.empty()) {
    throw UsageError("tokenizer " + command +
                     " needs --tokenizer PATH, the directory or file of a tokenizer: see --help");
  }
  return load_tokenizer(path);
}

/// Calls use(bytes) for the pieces of standard input or of a file, as they come.
template <class Use> void read_pieces(const std::string& input_file, const char* what, Use&& use) {
  std::array<char, 1 << 16> piece;
  Descriptor file;
  const bool standard = input_file.empty();
  if (!standard) {
    file = open_regular(input_file).first;
  } else if (::isatty(STDIN_FILENO) != 0) {
    throw UsageError(std::string(what) + " is missing: give it as an argument, with --input-file, or through a pipe");
  }
  for (;;) {
    const ssize_t n = ::read(standard ? STDIN_FILENO : file.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("read", standard ? "standard input" : input_file, errno);
    if (n == 0) return;
    use(std::string_view(piece.data(), static_cast<std::size_t>(n)));
  }
}

inline void write_standard_output(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw standard_output_error(errno);
  }
}

/// What a token is, on one line: 'a word' in quotes, whose bytes that are no characters and control characters are
/// escaped; a special token as its name.
inline std::string piece_text(const Tokenizer& tokenizer, std::int32_t id) {
  const std::string text = one_line(tokenizer.decode(id));
  return tokenizer.is_special(id) ? text : "'" + text + "'";
}

inline Exit run(const EncodeFlags& flags) {
  const Tokenizer tokenizer = required_tokenizer(flags.tokenizer, flags.name);
  if (flags.text && !flags.input_file.empty()) {
    throw UsageError("there are two texts, an argument and --input-file: leave one of them out");
  }
  std::string text = flags.text.value_or("");
  if (!flags.text) {
    read_pieces(flags.input_file, "the text", [&](std::string_view piece) { text += piece; });
    if (const auto kind = kind_of(text)) {
      throw Error("cannot read " + (flags.input_file.empty() ? "standard input" : flags.input_file) +
                  " as text: " + kind->sentence());
    }
    if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  }
  const auto ids = tokenizer.encode(text, flags.special);
  if (flags.json) {
    Report report{
        {"tokenizer", hash_text(tokenizer.hash())}, {"bytes", text.size()}, {"tokens", ids.size()}, {"ids", ids}};
    if (flags.pieces) {
      report["pieces"] = Report::array();
      for (const std::int32_t id : ids) report["pieces"].push_back(piece_text(tokenizer, id));
    }
    return print(report);
  }
  if (flags.pieces) {
    std::string lines;
    for (const std::int32_t id : ids) lines += std::to_string(id) + "\t" + piece_text(tokenizer, id) + "\n";
    write_standard_output(lines);
    return Exit::done;
  }
  std::string line;
  const char* space = "";
  for (const std::int32_t id : ids) line += space + std::to_string(id), space = " ";
  write_standard_output(line + "\n");
  return Exit::done;
}

/// Reads numbers that come in pieces, with spaces, commas or brackets between, and gives the text of each at once.
class IdsToText {
 public:
  IdsToText(const Tokenizer& tokenizer, bool bytes)
      : tokenizer_(tokenizer), bytes_(bytes), characters_(on_terminal() ? Controls::escape : Controls::keep) {}

  void push(std::string_view piece) {
    std::string out;
    for (const char c : piece) {
      if (c >= '0' && c <= '9' && digits_.size() < 20) {
        digits_ += c;
      } else if (std::string_view(" \t\r\n,[]").find(c) != std::string_view::npos) {
        end_number(out);
      } else {
        throw Error("'" + printable(digits_ + c) + "' after " + std::to_string(count_) +
                    " ids is no id: give whole numbers with spaces between");
      }
    }
    write_standard_output(out);
  }

  void finish() {
    std::string out;
    end_number(out);
    if (!bytes_) out += characters_.finish();
    if (on_terminal()) out += '\n';
    write_standard_output(out);
  }

 private:
  void end_number(std::string& out) {
    if (digits_.empty()) return;
    std::int32_t id = -1;
    const auto [at, fault] = std::from_chars(digits_.data(), digits_.data() + digits_.size(), id);
    if (fault != std::errc{} || id >= tokenizer_.size()) {
      throw Error("there is no token " + digits_ + ", after " + std::to_string(count_) +
                  " others: the ids of this tokenizer are 0 to " + std::to_string(tokenizer_.size() - 1));
    }
    digits_.clear();
    ++count_;
    const std::string_view text = tokenizer_.decode(id);
    out += bytes_ ? std::string(text) : characters_.push(text);
  }

  const Tokenizer& tokenizer_;
  bool bytes_;
  Utf8Stream characters_;
  std::string digits_;
  std::int64_t count_ = 0;
};

inline Exit run(const DecodeFlags& flags) {
  const Tokenizer tokenizer = required_tokenizer(flags.tokenizer, flags.name);
  if (!flags.ids.empty() && !flags.input_file.empty()) {
    throw UsageError("there are ids as arguments and in --input-file: leave one of them out");
  }
  if (flags.bytes && on_terminal()) {
    throw UsageError("--bytes may not write to a terminal, which would obey some of them: send it to a file");
  }
  IdsToText text(tokenizer, flags.bytes);
  for (const std::string& id : flags.ids) text.push(id + " ");
  if (flags.ids.empty()) read_pieces(flags.input_file, "the ids", [&](std::string_view piece) { text.push(piece); });
  text.finish();
  return Exit::done;
}

inline Exit run(const TokenizerInfoFlags& flags) {
  const Tokenizer tokenizer = required_tokenizer(flags.tokenizer, flags.name);
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const auto end = tokenizer.end_of_text();
  std::int32_t longest = 0;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    if (!tokenizer.is_special(id) && tokenizer.decode(id).size() > tokenizer.decode(longest).size()) longest = id;
  }
  const std::size_t longest_bytes = tokenizer.decode(longest).size();
  if (flags.json) {
    Report special = Report::array();
    for (const SpecialToken& s : vocabulary.special()) special.push_back({{"id", s.id}, {"text", s.content}});
    const char* const patterns[] = {"none", "gpt2", "gpt4", "gpt4_whole_numbers"};
    return print({{"tokenizer", flags.tokenizer},
                  {"description", tokenizer.description()},
                  {"size", tokenizer.size()},
                  {"merges", vocabulary.merges().size()},
                  {"pattern", patterns[static_cast<std::size_t>(vocabulary.pattern())]},
                  {"whole_words_at_once", vocabulary.whole_words() == WholeWords::at_once},
                  {"all_bytes", vocabulary.has_all_bytes()},
                  {"special", special},
                  {"end_of_text", end ? Report(*end) : Report(nullptr)},
                  {"longest_token_bytes", longest_bytes},
                  {"hash", hash_text(tokenizer.hash())}});
  }
  std::printf("%s: %s\n", one_line(flags.tokenizer).c_str(), tokenizer.description().c_str());
  std::printf("  merges          %s\n", grouped(static_cast<std::int64_t>(vocabulary.merges().size())).c_str());
  std::printf("  longest token   %zu bytes\n", longest_bytes);
  std::printf("  any text        %s\n",
              vocabulary.has_all_bytes() ? "yes: every byte has a token" : "no: only characters that it knows");
  constexpr std::size_t most_shown = 8;
  for (std::size_t i = 0; i < vocabulary.special().size() && i < most_shown; ++i) {
    const SpecialToken& s = vocabulary.special()[i];
    std::printf("  special token   %d %s%s\n", s.id, one_line(s.content).c_str(),
                s.id == end ? ", which ends a document" : "");
  }
  if (vocabulary.special().size() > most_shown) {
    std::printf("  and %zu more special tokens: --json lists them\n", vocabulary.special().size() - most_shown);
  }
  std::printf("  hash            %s\n", hash_text(tokenizer.hash()).c_str());
  return Exit::done;
}

inline Exit run(const TokenizerConvertFlags& flags) {
  const Tokenizer tokenizer = required_tokenizer(flags.tokenizer, flags.name);
  if (flags.out.empty()) throw UsageError("tokenizer convert needs --out DIR, where the files are written: see --help");
  const auto files = tokenizer_file_names(flags.format);
  for (const char* const file : files) {
    if (const auto path = std::filesystem::path(flags.out) / file; std::filesystem::exists(path)) {
      throw Error(path.string() + " is there already: give another directory with --out, or remove it first");
    }
  }
  save_tokenizer(tokenizer, flags.out, flags.format);
  for (const char* const file : files) {
    std::printf("%s\n", one_line((std::filesystem::path(flags.out) / file).string()).c_str());
  }
  return Exit::done;
}

inline Exit run(TokenizerFlags& flags) {
  std::optional<Exit> exit;
  std::size_t i = 0;
  const auto run_one = [&](auto& command) {
    if (flags.apps[i++]->parsed()) exit = run(command);
  };
  std::apply([&](auto&... each) { (run_one(each), ...); }, flags.commands);
  if (!exit)
    throw UsageError("tokenizer needs a command: write train, encode, decode, info or convert after it, or --help");
  return *exit;
}

}  // namespace tinygpt::cli::tool

// A tokenizer in files, in each of the layouts that people have: tokenizer.json, vocab.json with merges.txt (Hugging
// Face), encoder.json with vocab.bpe (OpenAI).
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/merges_text.hpp>
#include <tinygpt/io/run_directory.hpp>
#include <tinygpt/io/tokenizer_json.hpp>

namespace tinygpt {

/// In which files a tokenizer lies.
enum class TokenizerFiles { tokenizer_json, vocab_and_merges, openai };

namespace tokenizer_files {

/// The names of the vocabulary and of the merges.
struct Pair {
  const char* vocab;
  const char* merges;
};
inline constexpr std::array<Pair, 2> pairs{{{"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}}};

inline Json read(const std::filesystem::path& path) {
  return parse_json(read_small_file(path, max_tokenizer_file), path);
}

/// Such files do not say which tokens are special: those are that no merge makes and that look like <this>.
inline std::vector<SpecialToken> special_tokens(const Json& vocab, const MergeLines& merges,
                                                const std::filesystem::path& path) {
  std::unordered_set<std::string> made;
  for (const auto& [left, right] : merges.pairs) made.insert(std::string(left).append(right));
  std::vector<SpecialToken> special;
  for (const auto& [text, id] : vocab.get_ref<const Json::object_t&>()) {
    if (text.size() < 3 || !text.starts_with('<') || !text.ends_with('>') || made.contains(text)) continue;
    special.push_back({text, read_token_id(id, path, "the token " + quoted_text(text))});
  }
  return special;
}

}  // namespace tokenizer_files

/// From the contents of a vocabulary (vocab.json, encoder.json) and of its merges (merges.txt, vocab.bpe). Words are
/// cut by GPT-2's pattern, as always with such files; without merges it would change nothing, so there is none then.
inline Tokenizer tokenizer_from_vocab_and_merges(const Json& vocab_json, const std::filesystem::path& vocab_path,
                                                 std::string_view merges_text,
                                                 const std::filesystem::path& merges_path) {
  const MergeLines lines = parse_merges(merges_text, merges_path);
  std::vector<SpecialToken> special = tokenizer_files::special_tokens(vocab_json, lines, vocab_path);
  VocabJson vocab(vocab_json, special, vocab_path);
  std::vector<Merge> merges;
  merges.reserve(lines.pairs.size());
  for (std::size_t i = 0; i < lines.pairs.size(); ++i) {
    try {
      merges.push_back(vocab.merge(lines.pairs[i].first, lines.pairs[i].second, lines.place(i)));
    } catch (const DamagedFile& error) {
      throw damaged(merges_path, lines.place(i) + " does not go with " + vocab_path.filename().string() +
                                     ", as a token is missing there");
    }
  }
  const Pattern pattern = merges.empty() ? Pattern::none : Pattern::gpt2;
  return tokenizer_of(std::move(vocab.tokens()), std::move(merges), pattern, std::move(special), WholeWords::merged,
                      merges_path);
}

/// The contents of both files.
struct VocabAndMerges {
  std::string vocab, merges;
};

/// They say neither pattern nor special tokens: throws where what would be read is not what is written.
inline VocabAndMerges vocab_and_merges(const Tokenizer& tokenizer) {
  const std::vector<std::string> texts = token_texts(tokenizer);
  VocabAndMerges files{"{" + vocab_members(texts, "  ") + "\n}\n", "#version: 0.2\n"};
  for (const Merge& m : tokenizer.vocabulary().merges()) {
    files.merges += texts[static_cast<std::size_t>(m.left)] + " " + texts[static_cast<std::size_t>(m.right)] + "\n";
  }
  const auto [vocab, merges] = tokenizer_files::pairs[0];
  if (tokenizer_from_vocab_and_merges(parse_json(files.vocab, vocab), vocab, files.merges, merges) != tokenizer) {
    throw Error(
        "a vocabulary and merges alone cannot say what this tokenizer does, whose pattern or special tokens are not as "
        "in GPT-2: write tokenizer.json instead");
  }
  return files;
}

/// The tokenizer at a path: one of its files, a directory that holds them, a model's, or that of a training run.
inline Tokenizer load_tokenizer(const std::filesystem::path& path) {
  namespace files = tokenizer_files;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw Error("there is no tokenizer " + path.string() +
                ": check the path, or make one with tinygpt tokenizer train");
  }
  const auto from_pair = [](const std::filesystem::path& vocab, const std::filesystem::path& merges) {
    return tokenizer_from_vocab_and_merges(files::read(vocab), vocab, read_small_file(merges, max_tokenizer_file),
                                           merges);
  };
  if (std::filesystem::is_directory(status)) {
    const auto holds = [&](const char* name) { return std::filesystem::exists(path / name, error); };
    if (holds("tokenizer.json"))
      return tokenizer_from_json(files::read(path / "tokenizer.json"), path / "tokenizer.json");
    for (const auto& [vocab, merges] : files::pairs) {
      if (holds(vocab) && holds(merges)) return from_pair(path / vocab, path / merges);
    }
    if (const RunDirectory run(path); !run.steps().empty()) {
      const auto file = run.step_path(run.steps().front()) / "tokenizer.json";
      return tokenizer_from_json(files::read(file), file);
    }
    throw Error(path.string() +
                " holds no tokenizer: give a directory with tokenizer.json, or vocab.json and merges.txt, or "
                "encoder.json and vocab.bpe");
  }
  const auto sibling = [&](const char* name) { return path.parent_path() / name; };
  for (const auto& [vocab, merges] : files::pairs) {
    if (path.filename() == vocab) return from_pair(path, sibling(merges));
    if (path.filename() == merges) return from_pair(sibling(vocab), path);
  }
  return tokenizer_from_json(files::read(path), path);
}

/// What save_tokenizer writes.
inline std::vector<const char*> tokenizer_file_names(TokenizerFiles layout) {
  if (layout == TokenizerFiles::tokenizer_json) return {"tokenizer.json"};
  const auto& pair = tokenizer_files::pairs[layout == TokenizerFiles::openai ? 1 : 0];
  return {pair.vocab, pair.merges};
}

/// Writes the files of a tokenizer into a directory, which is made where it is not there. Each file is whole or as it
/// was. Throws where the layout cannot say what the tokenizer does.
inline void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& directory,
                           TokenizerFiles layout = TokenizerFiles::tokenizer_json) {
  std::vector<std::string> contents;
  if (layout == TokenizerFiles::tokenizer_json) {
    contents.push_back(tokenizer_json_text(tokenizer));
  } else {
    VocabAndMerges both = vocab_and_merges(tokenizer);
    contents = {std::move(both.vocab), std::move(both.merges)};
  }
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw file_error("create", directory, error.value());
  const auto names = tokenizer_file_names(layout);
  for (std::size_t i = 0; i < names.size(); ++i) write_file_atomically(directory / names[i], contents[i]);
}

}  // namespace tinygpt

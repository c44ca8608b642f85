// A tokenizer as the keys of a GGUF file, for llama.cpp's byte-level BPE.
//
// That has no pattern of a file's own, only those that it knows by name (tokenizer.ggml.pre), and always has a token
// that ends a text. Source: llama.cpp, src/llama-vocab.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <tinygpt/exchange/gguf_types.hpp>
#include <tinygpt/io/companions.hpp>
#include <tinygpt/io/vocab_json.hpp>

namespace tinygpt::gguf {

/// What is written of a tokenizer.
struct TokenizerKeys {
  const char* pre;
  std::vector<std::string> tokens;  ///< one for each id of the model
  std::vector<std::int32_t> types;  ///< TokenType
  std::vector<std::string> merges;  ///< "left right"
  std::vector<std::int32_t> ends;   ///< the ids that end a text; one or more
};

/// Where a file has those ids, in this order.
inline constexpr const char* end_keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                           "tokenizer.ggml.eom_token_id"};

/// Does each ordinary token come out of its own bytes by the merges alone? Then it makes no difference whether a word
/// that is a token is merged, or taken at once.
inline bool merges_make_every_token(const Tokenizer& tokenizer) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  WordMerger merger(vocabulary);
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.is_special(id) || vocabulary.bytes(id).empty()) continue;
    for (const char byte : vocabulary.bytes(id)) {
      if (vocabulary.id_of_byte(byte) < 0) return false;
    }
    merger.merge(vocabulary.bytes(id), ids);
    if (ids.size() != 1 || ids[0] != id) return false;
  }
  return true;
}

/// The name of the pattern; throws Error where there is none that gives the same tokens.
inline const char* pre_tokenizer_name(const Tokenizer& tokenizer) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const bool at_once = vocabulary.whole_words() == WholeWords::at_once;
  const bool same = merges_make_every_token(tokenizer);
  if (vocabulary.pattern() == Pattern::gpt4_whole_numbers && !vocabulary.merges().empty()) {
    throw Error(
        "llama.cpp knows no pattern that takes a number of any length for one word, so it would give other tokens: "
        "write safetensors (hf) instead, or use a tokenizer with another pattern");
  }
  if (vocabulary.pattern() == Pattern::gpt4) {
    if (at_once || same) return "llama-bpe";
    return "smaug-bpe";  // the same pattern, and words are merged
  }
  if (at_once && !same) {
    throw Error(
        "llama.cpp takes words that are tokens at once only with GPT-4's pattern, so it would give other tokens: write "
        "safetensors (hf) instead, or train a tokenizer with --pattern gpt4");
  }
  // Where nothing is merged, it does not matter how a text is cut.
  if (vocabulary.pattern() == Pattern::none && !vocabulary.merges().empty()) {
    throw Error(
        "llama.cpp knows no tokenizer that merges without a pattern, so it would give other tokens: write safetensors "
        "(hf) instead, or train a tokenizer with a pattern");
  }
  return "gpt-2";
}

/// The token that no text of the tokenizer gives, for llama.cpp must be told one that ends a text.
inline std::optional<std::int32_t> spare_token(const Tokenizer& tokenizer, int vocab) {
  if (tokenizer.size() < vocab) return tokenizer.size();
  // Bytes that are never in UTF-8.
  for (const int byte : {0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF9, 0xF8, 0xF7, 0xF6, 0xF5, 0xC1, 0xC0}) {
    const auto id = tokenizer.vocabulary().id_of_byte(static_cast<char>(byte));
    if (id >= 0) return id;
  }
  for (const SpecialToken& s : tokenizer.vocabulary().special()) return s.id;
  return std::nullopt;
}

/// For a model of `vocab` ids, of which the tokenizer may use fewer.
inline TokenizerKeys tokenizer_keys(const Tokenizer& tokenizer, int vocab, const Companions& said = {}) {
  expect_room(tokenizer, vocab);
  std::vector<std::int32_t> ends = end_tokens(said, tokenizer);
  if (const auto spare = ends.empty() ? spare_token(tokenizer, vocab) : std::nullopt) ends.push_back(*spare);
  if (ends.empty()) {
    throw Error(
        "llama.cpp must be told a token that ends a text, and this tokenizer has none to spare: train with Vocab<" +
        std::to_string(vocab + 1) + "> or more, or with a special token such as <|endoftext|>");
  }
  TokenizerKeys keys{pre_tokenizer_name(tokenizer), token_texts(tokenizer), {}, {}, std::move(ends)};
  const std::size_t given = keys.tokens.size(), all = static_cast<std::size_t>(vocab);
  const std::unordered_set<std::string> taken(keys.tokens.begin(), keys.tokens.end());
  for (std::size_t id = given; id < all; ++id) {
    std::string name = "[PAD" + std::to_string(id) + "]";
    if (taken.contains(name)) {
      throw Error("the tokenizer has a token " + name +
                  ", by which name GGUF files call unused ids: use a model with Vocab<" + std::to_string(given) + ">");
    }
    keys.tokens.push_back(std::move(name));
  }
  for (std::size_t id = 0; id < all; ++id) {
    const bool control = tokenizer.is_special(static_cast<std::int32_t>(id)) ||
                         (id >= given && static_cast<std::int32_t>(id) == keys.ends.front());
    const auto type = control ? TokenType::control : id < given ? TokenType::normal : TokenType::unused;
    keys.types.push_back(static_cast<std::int32_t>(type));
  }
  for (const Merge& m : tokenizer.vocabulary().merges()) {
    keys.merges.push_back(keys.tokens[static_cast<std::size_t>(m.left)] + " " +
                          keys.tokens[static_cast<std::size_t>(m.right)]);
  }
  return keys;
}

}  // namespace tinygpt::gguf

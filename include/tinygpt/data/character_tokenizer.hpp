// The simplest tokenizer: one id for each different byte of the corpus.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// Bytes to ids 0..n-1 in the order of the bytes, and back. ASCII characters are one token each, others two to four.
class CharacterTokenizer {
 public:
  /// An alphabet learned from a corpus, for a model with room for `vocab` ids.
  static CharacterTokenizer learn(std::string_view corpus, int vocab) {
    std::array<bool, 256> seen{};
    for (const char c : corpus) seen[static_cast<unsigned char>(c)] = true;
    std::string alphabet;
    for (int byte = 0; byte < 256; ++byte) {
      if (seen[static_cast<std::size_t>(byte)]) alphabet += static_cast<char>(byte);
    }
    if (static_cast<int>(alphabet.size()) > vocab) {
      throw Error("the text has " + std::to_string(alphabet.size()) + " different bytes, but the model has Vocab<" +
                  std::to_string(vocab) + ">: use a model with Vocab<256>, which suits any text");
    }
    return CharacterTokenizer(alphabet);
  }

  /// `alphabet` holds each byte once; its place is its id.
  explicit CharacterTokenizer(std::string_view alphabet) : alphabet_(alphabet) {
    ids_.fill(-1);
    for (std::size_t i = 0; i < alphabet_.size(); ++i) {
      auto& id = ids_[static_cast<unsigned char>(alphabet_[i])];
      if (id >= 0) throw Error("the tokenizer's alphabet holds a byte twice: learn it again from the text");
      id = static_cast<std::int32_t>(i);
    }
  }

  int size() const { return static_cast<int>(alphabet_.size()); }
  const std::string& alphabet() const { return alphabet_; }

  /// Throws where a character was not in the corpus, naming it and its place (in characters, from 1).
  std::vector<std::int32_t> encode(std::string_view text) const {
    std::vector<std::int32_t> tokens;
    tokens.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::int32_t id = ids_[static_cast<unsigned char>(text[i])];
      if (id < 0) throw unseen(text, i);
      tokens.push_back(id);
    }
    return tokens;
  }

  /// The byte of an id; an id that the corpus never used has none, and gives an empty view.
  std::string_view decode(std::int32_t id) const {
    if (id < 0 || id >= size()) return {};
    return std::string_view(alphabet_).substr(static_cast<std::size_t>(id), 1);
  }

  std::string decode(const std::vector<std::int32_t>& tokens) const {
    std::string text;
    for (const std::int32_t id : tokens) text += decode(id);
    return text;
  }

 private:
  static bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

  static Error unseen(std::string_view text, std::size_t at) {
    std::size_t first = at, last = at + 1, position = 0;
    while (first > 0 && continues(text[first])) --first;
    while (last < text.size() && continues(text[last])) ++last;
    for (std::size_t i = 0; i <= first; ++i) position += !continues(text[i]);
    return Error("the character '" + printable(text.substr(first, last - first)) + "' at position " +
                 std::to_string(position) + " was not in the training text: leave it out or use another");
  }

  std::string alphabet_;
  std::array<std::int32_t, 256> ids_{};
};

}  // namespace tinygpt

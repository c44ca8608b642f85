// Where a long text can be cut in two whose words, one after the other, are the words of the whole.
#pragma once

#include <cstddef>
#include <string_view>

#include <tinygpt/data/pre_tokenizer.hpp>

namespace tinygpt {

/// True where a word of either pattern begins at `at` and the words before it do not depend on what follows:
///
///   - after a letter or number, before a sign
///   - before a space that has something other than a space after it
///   - after one line end (\n) between characters that are not spaces
///
/// False says nothing: a word may begin there. What is asked is at most five bytes to either side, and where the text
/// ends too soon after `at` the answer is false, so that more text never changes a true.
inline bool is_word_boundary(std::string_view text, std::size_t at) {
  constexpr std::size_t longest = 4;  // bytes of a character
  if (at == 0 || text.size() - at <= longest) return false;
  const auto continues = [&](std::size_t i) { return (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80; };
  const auto before = [&](std::size_t end) {
    std::size_t first = end - 1;
    while (first > 0 && end - first < longest && continues(first)) --first;
    const Character c = first_character(text.substr(first, end - first));
    // What is not well formed is a sign; a sequence that goes on after `end` is not one that ends there.
    return c.bytes == end - first && !continues(end) ? c.kind : CharacterClass::other;
  };
  const auto after = [&](std::size_t first) { return first_character(text.substr(first)).kind; };
  if (text[at] == ' ') return after(at + 1) != CharacterClass::space;
  if (text[at - 1] == '\n') {
    return at > 1 && before(at - 1) != CharacterClass::space && after(at) != CharacterClass::space;
  }
  const CharacterClass kind = before(at);
  return (kind == CharacterClass::letter || kind == CharacterClass::number) && after(at) == CharacterClass::other;
}

/// The last boundary after `first`, or npos where none is found.
inline std::size_t last_word_boundary(std::string_view text, std::size_t first = 0) {
  for (std::size_t at = text.size(); at > first + 1;) {
    if (is_word_boundary(text, --at)) return at;
  }
  return std::string_view::npos;
}

}  // namespace tinygpt

// What a code point is, as far as cutting text into words goes: a letter, a number, a space, or something else.
#pragma once

#include <cstdint>
#include <string_view>

#include <tinygpt/data/unicode_tables.hpp>
#include <tinygpt/data/utf8.hpp>

namespace tinygpt {

/// The classes are what regular expressions call \p{L} (general category L*), \p{N} (N*) and \s (White_Space).
enum class CharacterClass : std::uint8_t { other, letter, number, space };

/// Of Unicode 15.0 (unicode_tables::version). Constant time; `other` beyond U+10FFFF.
inline CharacterClass character_class(char32_t code_point) {
  if (code_point > 0x10FFFF) return CharacterClass::other;
  constexpr auto block = static_cast<std::size_t>(unicode_tables::block);
  const std::size_t at = unicode_tables::places[code_point / block] * block + code_point % block;
  return static_cast<CharacterClass>(unicode_tables::classes[at / 4] >> 2 * (at % 4) & 3);
}

inline bool is_letter(char32_t code_point) { return character_class(code_point) == CharacterClass::letter; }
inline bool is_number(char32_t code_point) { return character_class(code_point) == CharacterClass::number; }
inline bool is_space(char32_t code_point) { return character_class(code_point) == CharacterClass::space; }

/// A code point where it stands in a text: its class, and how many bytes it has.
struct Character {
  CharacterClass kind;
  std::uint8_t bytes;
};

/// The first character of a text that is not empty. A byte that begins no well-formed sequence is a character of its
/// own, of class `other`.
inline Character first_character(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte < 0x80) return {character_class(byte), 1};
  Utf8Decoder decoder;
  std::uint8_t bytes = 0;
  for (const char c : text.substr(0, 4)) {
    const auto state = decoder.feed(static_cast<unsigned char>(c));
    ++bytes;
    if (state == Utf8Decoder::State::complete) return {character_class(decoder.code_point()), bytes};
    if (state != Utf8Decoder::State::incomplete) break;
  }
  return {CharacterClass::other, 1};
}

}  // namespace tinygpt

// The characters that stand for bytes in the files of byte-level BPE, so that every token is printable text in them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <tinygpt/data/utf8.hpp>

namespace tinygpt {

namespace byte_characters {

/// The printable bytes of Latin-1 stand for themselves; the other 68 are, in order, U+0100 and what follows.
/// Source: bytes_to_unicode in openai/gpt-2 src/encoder.py.
inline constexpr std::array<std::uint16_t, 256> of_byte = [] {
  std::array<std::uint16_t, 256> characters{};
  std::uint16_t next = 0x100;
  for (std::size_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    characters[b] = printable ? static_cast<std::uint16_t>(b) : next++;
  }
  return characters;
}();

inline constexpr std::size_t characters = 0x100 + 68;

inline constexpr std::array<std::int16_t, characters> of_character = [] {
  std::array<std::int16_t, characters> bytes{};
  bytes.fill(-1);
  for (std::size_t b = 0; b < 256; ++b) bytes[of_byte[b]] = static_cast<std::int16_t>(b);
  return bytes;
}();

}  // namespace byte_characters

/// " the" is "\u0120the": bytes as their characters, in UTF-8.
inline std::string characters_of(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const unsigned character = byte_characters::of_byte[static_cast<unsigned char>(c)];
    if (character < 0x80) {
      text += static_cast<char>(character);
    } else {
      text += static_cast<char>(0xC0 | character >> 6);
      text += static_cast<char>(0x80 | (character & 0x3F));
    }
  }
  return text;
}

/// The bytes that characters stand for; nothing where one stands for none.
inline std::optional<std::string> bytes_of(std::string_view text) {
  std::string bytes;
  Utf8Decoder decoder;
  for (const char c : text) {
    const auto state = decoder.feed(static_cast<unsigned char>(c));
    if (state == Utf8Decoder::State::incomplete) continue;
    const auto character = static_cast<std::size_t>(decoder.code_point());
    if (state != Utf8Decoder::State::complete || character >= byte_characters::characters) return std::nullopt;
    const int byte = byte_characters::of_character[character];
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  if (decoder.inside_sequence()) return std::nullopt;
  return bytes;
}

}  // namespace tinygpt

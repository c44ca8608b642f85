// Cuts text into the words that byte-level BPE merges within: the patterns of GPT-2 and of GPT-4, by hand.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <tinygpt/data/unicode.hpp>

namespace tinygpt {

/// How text is cut into words. Each is exactly what its regular expression finds, tried from left to right at every
/// place, as in the `regex` crate, Oniguruma and Python's `regex`:
///
///   none   the whole text is one word
///   gpt2   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///   gpt4   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
///          \s+(?!\S)|\s+          (GPT-4's cl100k_base as first published, and Llama 3's)
///   gpt4_whole_numbers
///          '(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|
///          \s+(?!\S)|\s           (cl100k_base's spelling of tiktoken 0.6, as it is found in a tokenizer.json)
///
/// The last one is what Oniguruma finds, which reads such files: there {1,3}+ is no possessive repetition but repeats
/// the group, so that a number is one word of any length; and spaces at the end of a text are one word. tiktoken
/// itself, whose engine has possessive repetitions, cuts numbers into three digits by the same spelling.
///
/// Sources: openai/gpt-2 src/encoder.py; openai/tiktoken tiktoken_ext/openai_public.py; Llama 3's tokenizer.json.
enum class Pattern { none, gpt2, gpt4, gpt4_whole_numbers };

namespace words {

/// A place in a text, and what stands there.
using Place = const char*;

/// What a byte begins. A byte of 0x80 or more begins a character of several bytes, or nothing.
enum Byte : std::uint8_t { other, letter, number, space, beyond_ascii };

inline constexpr std::array<std::uint8_t, 256> byte_kinds = [] {
  std::array<std::uint8_t, 256> kinds{};
  for (std::size_t b = 0; b < 256; ++b) {
    const bool alpha = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z');
    const bool blank = b == ' ' || (b >= '\t' && b <= '\r');
    kinds[b] = b >= 0x80 ? beyond_ascii : alpha ? letter : b >= '0' && b <= '9' ? number : blank ? space : other;
  }
  return kinds;
}();

inline std::uint8_t byte_kind(Place at) { return byte_kinds[static_cast<unsigned char>(*at)]; }

inline std::string_view between(Place first, Place last) {
  return std::string_view(first, static_cast<std::size_t>(last - first));
}

inline Character character_at(Place at, Place end) {
  const std::uint8_t kind = byte_kind(at);
  if (kind != beyond_ascii) return {static_cast<CharacterClass>(kind), 1};
  return first_character(between(at, end));
}

/// How many of the eight bytes at `at`, counted from the first, are letters of ASCII. One step instead of a branch for
/// each.
inline int leading_letters(Place at) {
  constexpr std::uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
  std::uint64_t bytes;
  std::memcpy(&bytes, at, sizeof bytes);
  // With the case forgotten and without the high bits, a sum reaches a byte's high bit from 'a' on, or from beyond 'z'.
  const std::uint64_t lower = (bytes | 0x20 * ones) & ~high;
  const std::uint64_t from_a = lower + (0x80 - 'a') * ones, beyond_z = lower + (0x80 - 'z' - 1) * ones;
  const std::uint64_t letters = from_a & ~beyond_z & ~bytes & high;
  return std::countr_zero(~letters & high) / 8;
}

/// The end of the run of characters of one kind that begins at `at`, or `at` where there is none.
inline Place skip(CharacterClass kind, Place at, Place end) {
  if (kind == CharacterClass::letter && std::endian::native == std::endian::little) {
    while (end - at >= 8) {
      const int letters = leading_letters(at);
      at += letters;
      if (letters < 8) break;
    }
  }
  while (at != end) {
    const std::uint8_t here = byte_kind(at);
    if (here == static_cast<std::uint8_t>(kind)) {
      ++at;
    } else if (here != beyond_ascii) {
      break;
    } else {
      const Character c = first_character(between(at, end));
      if (c.kind != kind) break;
      at += c.bytes;
    }
  }
  return at;
}

/// The run of spaces at `at`, of which at least one is there.
struct Spaces {
  Place end, last;       // where the run ends, and where its last character begins
  Place after_line_end;  // after the last \r or \n, or null
};

inline Spaces spaces_at(Place at, Place end) {
  Spaces run{at, at, nullptr};
  while (run.end != end) {
    const Character c = character_at(run.end, end);
    if (c.kind != CharacterClass::space) break;
    run.last = run.end;
    run.end += c.bytes;
    if (*run.last == '\n' || *run.last == '\r') run.after_line_end = run.end;
  }
  return run;
}

/// \s+(?!\S)|\s+: a run of spaces leaves its last one for the word that follows, if there are two or more.
inline Place end_of_spaces(Place at, const Spaces& run, Place end) {
  return run.end == end || run.last == at ? run.end : run.last;
}

inline bool is_line_end(char c) { return c == '\r' || c == '\n'; }

/// Bytes of one of 's 't 're 've 'm 'll 'd at the apostrophe `at`, or 0.
inline std::ptrdiff_t contraction(Place at, Place end) {
  const std::ptrdiff_t left = end - at;
  if (left < 2) return 0;
  const char first = at[1], second = left > 2 ? at[2] : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  return ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l') ? 3 : 0;
}

/// The same in any case. U+017F, the long s, is a case of s; the other letters have none outside ASCII.
inline std::ptrdiff_t contraction_in_any_case(Place at, Place end) {
  const std::ptrdiff_t left = end - at;
  if (left < 2) return 0;
  if (left > 2 && at[1] == '\xC5' && at[2] == '\xBF') return 3;
  const char lower[3] = {'\'', static_cast<char>(at[1] | 0x20), static_cast<char>(left > 2 ? at[2] | 0x20 : 0)};
  return contraction(lower, lower + (left > 2 ? 3 : 2));
}

/// The end of GPT-2's word that begins at `at`.
inline Place gpt2_end(Place at, Place end) {
  const Character c = character_at(at, end);
  const Place next = at + c.bytes;
  if (c.kind == CharacterClass::space) {
    if (*at == ' ' && next != end) {
      const Character follows = character_at(next, end);
      if (follows.kind != CharacterClass::space) return skip(follows.kind, next + follows.bytes, end);
    }
    return end_of_spaces(at, spaces_at(at, end), end);
  }
  if (*at == '\'') {
    if (const auto bytes = contraction(at, end)) return at + bytes;
  }
  return skip(c.kind, next, end);
}

/// How gpt4 and gpt4_whole_numbers differ.
enum class Numbers { in_threes, whole };

/// The end of GPT-4's word that begins at `at`.
template <Numbers numbers> Place gpt4_end(Place at, Place end) {
  const Character c = character_at(at, end);
  const Place next = at + c.bytes;
  if (c.kind == CharacterClass::letter) return skip(c.kind, next, end);
  if (c.kind == CharacterClass::number) {
    if (numbers == Numbers::whole) return skip(c.kind, next, end);
    Place p = next;
    for (int i = 1; i < 3 && p != end; ++i) {
      const Character n = character_at(p, end);
      if (n.kind != CharacterClass::number) break;
      p += n.bytes;
    }
    return p;
  }
  if (*at == '\'') {
    if (const auto bytes = contraction_in_any_case(at, end)) return at + bytes;
  }
  const auto with_line_ends = [end](Place p) {
    while (p != end && is_line_end(*p)) ++p;
    return p;
  };
  if (next != end && !is_line_end(*at)) {
    const Character follows = character_at(next, end);
    if (follows.kind == CharacterClass::letter) return skip(follows.kind, next + follows.bytes, end);
    if (*at == ' ' && follows.kind == CharacterClass::other) {
      return with_line_ends(skip(follows.kind, next + follows.bytes, end));
    }
  }
  if (c.kind == CharacterClass::other) return with_line_ends(skip(c.kind, next, end));
  const Spaces run = spaces_at(at, end);
  if (numbers == Numbers::whole && run.end == end) return end;
  return run.after_line_end != nullptr ? run.after_line_end : end_of_spaces(at, run, end);
}

}  // namespace words

/// Calls word(std::string_view) for each word of `text` in order. The words joined are the text, also where it is not
/// UTF-8: a byte that is part of no well-formed sequence is neither letter nor number nor space. Time is linear in the
/// text, whatever it holds: at most two words look at the same run of characters.
template <class Word> void for_each_word(Pattern pattern, std::string_view text, Word&& word) {
  words::Place at = text.data();
  const words::Place end = at + text.size();
  const auto each = [&](const auto& end_of_word) {
    while (at != end) {
      const words::Place first = at;
      at = end_of_word(at, end);
      word(words::between(first, at));
    }
  };
  switch (pattern) {
    case Pattern::none:
      return each([](words::Place, words::Place last) { return last; });
    case Pattern::gpt2:
      return each([](words::Place p, words::Place last) { return words::gpt2_end(p, last); });
    case Pattern::gpt4:
      return each(
          [](words::Place p, words::Place last) { return words::gpt4_end<words::Numbers::in_threes>(p, last); });
    case Pattern::gpt4_whole_numbers:
      return each([](words::Place p, words::Place last) { return words::gpt4_end<words::Numbers::whole>(p, last); });
  }
}

}  // namespace tinygpt

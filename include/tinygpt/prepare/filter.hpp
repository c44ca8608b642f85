// What may be done to documents before they are encoded. Nothing is, unless it is asked for.
#pragma once

#include <locale.h>
#include <clocale>
#include <cstdint>
#include <cwctype>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt::prepare {

struct Filters {
  bool lowercase = false;
  bool squeeze_whitespace = false;
  std::int64_t min_bytes = 1, max_bytes = std::numeric_limits<std::int64_t>::max();
};

/// Lower case letter by letter, as the C library's C.UTF-8 has it (Unicode's simple mapping).
inline void append_lowercase(std::string& to, std::string_view text) {
  // One for the life of the program: threads share it.
  static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (utf8 == nullptr) throw Error("this system has no locale C.UTF-8, which --lowercase needs: lower the text before");
  Utf8Decoder decoder;
  for (const char c : text) {
    if (decoder.feed(static_cast<unsigned char>(c)) != Utf8Decoder::State::complete) continue;
    append_utf8(to, static_cast<char32_t>(::towlower_l(static_cast<wint_t>(decoder.code_point()), utf8)));
  }
}

/// Spaces and tabs in a row become one space, and go from both ends of a line; \r\n becomes \n; blank lines in a row
/// become one.
inline std::string squeezed(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool space = false;
  int newlines = 2;  // at the beginning blank lines go, too
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\r') {
      space = true;
    } else if (c == '\n') {
      space = false;
      if (++newlines <= 2) out += c;
    } else {
      if (space && newlines == 0) out += ' ';
      space = false, newlines = 0;
      out += c;
    }
  }
  return out;
}

enum class Verdict { keep, empty, too_short, too_long };

/// What `filters` make of a text, which they may change: then `changed` holds it and `text` points there.
inline Verdict apply(const Filters& filters, std::string_view& text, std::string& changed) {
  if (filters.squeeze_whitespace) text = changed = squeezed(text);
  if (filters.lowercase) {
    std::string lower;
    lower.reserve(text.size());
    append_lowercase(lower, text);
    text = changed = std::move(lower);
  }
  if (text.empty()) return Verdict::empty;
  const auto bytes = static_cast<std::int64_t>(text.size());
  return bytes < filters.min_bytes ? Verdict::too_short : bytes > filters.max_bytes ? Verdict::too_long : Verdict::keep;
}

}  // namespace tinygpt::prepare

// UTF-8: is a text valid, and where not; and a stream that lets only whole characters through.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace tinygpt {

/// Reads UTF-8 byte by byte. Source: the Unicode Standard 15.0, table 3-7 (well-formed byte sequences).
class Utf8Decoder {
 public:
  enum class State {
    complete,    ///< the byte ended a code point: code_point()
    incomplete,  ///< more bytes must follow
    invalid,     ///< the byte begins nothing
    interrupted  ///< the sequence before this byte is cut short; feed the byte again
  };

  State feed(unsigned char byte) {
    if (missing_ == 0) return begin(byte);
    if (byte < low_ || byte > high_) {
      missing_ = 0;
      return State::interrupted;
    }
    low_ = 0x80, high_ = 0xBF;
    code_point_ = code_point_ << 6 | (byte & 0x3F);
    return --missing_ == 0 ? State::complete : State::incomplete;
  }

  char32_t code_point() const { return code_point_; }
  bool inside_sequence() const { return missing_ != 0; }

 private:
  State begin(unsigned char byte) {
    code_point_ = byte;
    if (byte < 0x80) return State::complete;
    if (byte < 0xC2 || byte > 0xF4) return State::invalid;
    low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;   // no overlong forms
    high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;  // no surrogates, nothing over U+10FFFF
    missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    code_point_ = byte & (0x3F >> missing_);
    return State::incomplete;
  }

  char32_t code_point_ = 0;
  int missing_ = 0;
  unsigned char low_ = 0x80, high_ = 0xBF;
};

/// Appends the bytes of a code point, which is no surrogate.
inline void append_utf8(std::string& to, char32_t point) {
  const auto last = [&](int shift) { return static_cast<char>(0x80 | (point >> shift & 0x3F)); };
  if (point < 0x80) {
    to += static_cast<char>(point);
  } else if (point < 0x800) {
    to += {static_cast<char>(0xC0 | point >> 6), last(0)};
  } else if (point < 0x10000) {
    to += {static_cast<char>(0xE0 | point >> 12), last(6), last(0)};
  } else {
    to += {static_cast<char>(0xF0 | point >> 18), last(12), last(6), last(0)};
  }
}

/// A place at or after `from` with nothing but ASCII between, a few bytes at a time.
inline std::size_t past_ascii(std::string_view text, std::size_t from) {
  constexpr std::size_t step = 32;
  for (; text.size() - from >= step; from += step) {
    unsigned char any = 0;
    for (std::size_t i = 0; i < step; ++i) any |= static_cast<unsigned char>(text[from + i]);
    if (any >= 0x80) break;
  }
  return from;
}

/// Byte offset of the first fault: of the first byte of the sequence that is not well formed.
inline std::optional<std::size_t> first_utf8_fault(std::string_view text) {
  Utf8Decoder decoder;
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!decoder.inside_sequence()) {
      i = past_ascii(text, i);
      if (i == text.size()) return std::nullopt;
      start = i;
    }
    switch (decoder.feed(static_cast<unsigned char>(text[i]))) {
      case Utf8Decoder::State::invalid:
      case Utf8Decoder::State::interrupted:
        return start;
      default:
        break;
    }
  }
  if (decoder.inside_sequence()) return start;
  return std::nullopt;
}

/// What happens to control characters: a terminal obeys them, so text from a model or a file must not carry them there.
enum class Controls { keep, escape };

/// Turns bytes that arrive in pieces into whole characters; what is not well formed becomes U+FFFD.
class Utf8Stream {
 public:
  explicit Utf8Stream(Controls controls = Controls::keep) : controls_(controls) {}

  /// The characters that `bytes` completes.
  std::string push(std::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      auto state = decoder_.feed(byte);
      if (state == Utf8Decoder::State::interrupted) {
        out += replacement;
        held_.clear();
        state = decoder_.feed(byte);
      }
      if (state == Utf8Decoder::State::invalid) {
        out += replacement;
        continue;
      }
      held_ += c;
      if (state == Utf8Decoder::State::complete) {
        append(out);
        held_.clear();
      }
    }
    return out;
  }

  /// At the end: U+FFFD where a character was cut short.
  std::string finish() {
    const bool cut = !held_.empty();
    held_.clear();
    decoder_ = {};
    return cut ? replacement : "";
  }

 private:
  static constexpr const char* replacement = "\xEF\xBF\xBD";

  void append(std::string& out) const {
    const char32_t c = decoder_.code_point();
    const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
    if (controls_ == Controls::keep || !control) {
      out += held_;
      return;
    }
    const char digits[] = "0123456789abcdef";
    out += {'\\', 'x', digits[c >> 4], digits[c & 15]};
  }

  Controls controls_;
  Utf8Decoder decoder_;
  std::string held_;
};

/// Text that is safe to print: whole characters, no control characters.
inline std::string printable(std::string_view text) {
  Utf8Stream stream(Controls::escape);
  std::string out = stream.push(text);
  return out += stream.finish();
}

/// The same in one line, whatever the text holds: a message is one line.
inline std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : printable(text)) line += c == '\n' ? std::string("\\n") : std::string(1, c);
  return line;
}

}  // namespace tinygpt

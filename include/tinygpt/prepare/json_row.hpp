// A row of JSON Lines, of which one member is taken. The others are only passed over: their numbers may be of any size,
// and NaN and Infinity, as Python's json writes them, are no fault there.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <tinygpt/data/utf8.hpp>

namespace tinygpt::prepare {

/// The text of a row; or why there is none, with `good` false.
struct Row {
  bool good = false;
  std::string text;  ///< or why
};

namespace json_row {

/// Walks through one row of JSON, in one pass and without a tree. Source: RFC 8259.
class Scanner {
 public:
  /// `field` is the member that is wanted; the row is UTF-8.
  Scanner(std::string_view row, std::string_view field) : row_(row), field_(field) {}

  /// Is the row a JSON object, and is the member, where it is there, a text, once?
  bool scan() {
    skip_spaces();
    if (peek() == '[') return fail("it is not a JSON object");
    if (peek() != '{') return skip_scalar() ? fail("it is not a JSON object") : false;
    std::string open;  // the brackets that must close what is open
    for (;;) {
      bool wanted = false;
      if (!open.empty() && open.back() == '}' && !read_key(open.size() == 1, wanted)) return false;
      skip_spaces();
      if (wanted) {
        if (!read_wanted()) return false;
      } else if (peek() == '{' || peek() == '[') {
        if (open.size() == deepest) return fail("it is nested more than 64 deep");
        open += peek() == '{' ? '}' : ']';
        ++at_;
        skip_spaces();
        if (peek() != open.back()) continue;
      } else if (!skip_scalar()) {
        return false;
      }
      for (skip_spaces(); !open.empty() && peek() == open.back(); skip_spaces()) ++at_, open.pop_back();
      if (open.empty()) return at_ == row_.size() || wrong();
      if (peek() != ',') return wrong();
      ++at_;
    }
  }

  bool found = false;
  std::string text, why;

 private:
  static constexpr std::size_t deepest = 64;

  bool fail(std::string sentence) {
    if (why.empty()) why = std::move(sentence);
    return false;
  }
  bool wrong() { return fail("it is not JSON at byte " + std::to_string(at_ + 1) + " of the row"); }

  /// The next byte; a zero byte, which no row holds, at the end.
  char peek() const { return at_ < row_.size() ? row_[at_] : '\0'; }
  void skip_spaces() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n') ++at_;
  }

  /// A key and its colon. `wanted`: the member of the outermost object that is looked for.
  bool read_key(bool outermost, bool& wanted) {
    skip_spaces();
    std::string_view key;
    std::string decoded;
    if (peek() != '"' || !read_string(key, decoded)) return wrong();
    skip_spaces();
    if (peek() != ':') return wrong();
    ++at_;
    wanted = outermost && key == field_;
    return true;
  }

  bool read_wanted() {
    if (found) return fail("it has '" + std::string(field_) + "' twice");
    if (peek() != '"')
      return (peek() == '{' || peek() == '[' || skip_scalar()) &&
             fail("its '" + std::string(field_) + "' is not a text");
    found = true;
    std::string_view value;
    if (!read_string(value, text)) return wrong();
    if (text.empty()) text = value;
    return true;
  }

  bool skip_scalar() {
    const char c = peek();
    if (c == '"') return skip_string() || wrong();
    if (c == '-' || (c >= '0' && c <= '9')) return skip_number() || wrong();
    for (const std::string_view word : {"true", "false", "null", "NaN", "Infinity"}) {
      if (!row_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return true;
    }
    return wrong();
  }

  bool skip_number() {
    const auto digits = [&] {
      const std::size_t first = at_;
      while (peek() >= '0' && peek() <= '9') ++at_;
      return at_ > first;
    };
    if (peek() == '-') ++at_;
    if (row_.substr(at_).starts_with("Infinity")) return at_ += 8, true;
    if (peek() == '0')
      ++at_;
    else if (!digits())
      return false;
    if (peek() == '.' && (++at_, !digits())) return false;
    if (peek() != 'e' && peek() != 'E') return true;
    ++at_;
    if (peek() == '+' || peek() == '-') ++at_;
    return digits();
  }

  /// A string whose characters do not matter; false at its first fault.
  bool skip_string() {
    for (++at_; at_ < row_.size(); ++at_) {
      const char c = row_[at_];
      if (c == '"') return ++at_, true;
      if (c >= 0 && c < 0x20) return false;
      if (c != '\\') continue;
      ++at_;
      if (peek() == 'u') {
        if (!hex(at_ + 1)) return false;
        at_ += 4;
      } else if (std::string_view("\"\\/bfnrt").find(peek()) == std::string_view::npos || at_ == row_.size()) {
        return false;
      }
    }
    return false;
  }

  /// A string: as it stands in the row where nothing in it is escaped, else in `decoded`, to which `value` points then.
  bool read_string(std::string_view& value, std::string& decoded) {
    const std::size_t first = at_ + 1;
    if (!skip_string()) return false;
    value = row_.substr(first, at_ - 1 - first);
    if (value.find('\\') == std::string_view::npos) return true;
    decoded.reserve(value.size());
    for (std::size_t i = first; i + 1 < at_;) {
      if (row_[i] != '\\') {
        decoded += row_[i++];
        continue;
      }
      const char c = row_[i + 1];
      if (c != 'u') {
        const auto place = std::string_view("bfnrt").find(c);
        decoded += place == std::string_view::npos ? c : "\b\f\n\r\t"[place];
        i += 2;
        continue;
      }
      const std::size_t escape = i;
      char32_t point = *hex(i + 2);
      i += 6;
      if (point >= 0xD800 && point < 0xDC00) {  // the first half of a pair, whose second half must follow
        const auto low = row_.substr(i).starts_with("\\u") ? hex(i + 2) : std::nullopt;
        if (low && *low >= 0xDC00 && *low < 0xE000) {
          point = 0x10000 + ((point - 0xD800) << 10) + (*low - 0xDC00);
          i += 6;
        }
      }
      if (point >= 0xD800 && point < 0xE000) return at_ = escape, false;
      append_utf8(decoded, point);
    }
    value = decoded;
    return true;
  }

  /// The number that four hexadecimal digits at a place write.
  std::optional<char32_t> hex(std::size_t at) const {
    char32_t number = 0;
    if (at + 4 > row_.size()) return std::nullopt;
    for (const char c : row_.substr(at, 4)) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return std::nullopt;
      number = number << 4 | static_cast<char32_t>(digit);
    }
    return number;
  }

  std::string_view row_, field_;
  std::size_t at_ = 0;
};

}  // namespace json_row

/// Is this a whole JSON object?
inline bool is_json_object(std::string_view row) { return json_row::Scanner(row, "").scan(); }

/// The member `field` of a row.
inline Row read_row(std::string_view line, std::string_view field) {
  if (const auto fault = first_utf8_fault(line)) {
    return {false, "it is not UTF-8 at byte " + std::to_string(*fault + 1) + " of the row"};
  }
  if (const auto zero = line.find('\0'); zero != std::string_view::npos) {
    return {false, "it holds a zero byte at byte " + std::to_string(zero + 1) + " of the row"};
  }
  json_row::Scanner scanner(line, field);
  if (!scanner.scan() || !scanner.found) {
    return {false, scanner.why.empty() ? "it has no '" + printable(field) + "'" : printable(scanner.why)};
  }
  return {true, std::move(scanner.text)};
}

}  // namespace tinygpt::prepare

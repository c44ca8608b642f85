// JSON that a person wrote: one flat object, read so that every mistake can be shown with its line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/io/json.hpp>

namespace tinygpt {

/// A key with its value. An array or object inside is only known to be one.
struct LocatedMember {
  std::string key;
  int line = 0;
  Json value;
  std::string text;  ///< the value as it stands in the file, for messages
};

/// A flat JSON object, in the order of the file, repeated keys and all; or what keeps it from being one.
struct LocatedObject {
  struct Fault {
    int line = 0;
    std::string what;
  };

  std::vector<LocatedMember> members;
  int last_line = 1;           ///< of the closing brace: where a missing member can be added
  std::optional<Fault> fault;  ///< the text is not a JSON object
};

namespace located_json {

/// Walks a text and leaves its offset where others can read it: nlohmann's events do not say where they are.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  std::size_t* offset;

  reference operator*() const { return *at; }
  Cursor& operator++() {
    ++at, ++*offset;
    return *this;
  }
  Cursor operator++(int) {
    Cursor before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Cursor& a, const Cursor& b) { return a.at == b.at; }
};

/// The events of nlohmann's parser. Returning false ends the parse.
class Reader {
 public:
  static constexpr int max_depth = 64;

  Reader(std::string_view text, LocatedObject& object) : text_(text), object_(object) {}

  std::size_t* offset() { return &offset_; }

  bool null() { return value(nullptr, "null"); }
  bool boolean(bool b) { return value(b, b ? "true" : "false"); }
  bool number_integer(Json::number_integer_t n) { return value(n, std::to_string(n)); }
  bool number_unsigned(Json::number_unsigned_t n) { return value(n, std::to_string(n)); }
  bool number_float(Json::number_float_t x, const std::string& literal) { return value(x, literal); }
  bool string(std::string& s) { return value(s, "\"" + s.substr(0, 40) + (s.size() > 40 ? "...\"" : "\"")); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) { return begin(Json::object(), "{...}"); }
  bool start_array(std::size_t) { return begin(Json::array(), "[...]"); }
  bool end_array() { return end(); }
  bool end_object() { return end(); }
  bool key(std::string& k) {
    if (depth_ == 1) object_.members.push_back({k, line(), nullptr, ""});
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception& error) {
    if (object_.fault) return false;
    // "[json.exception.parse_error.101] parse error at line 3, column 5: syntax error while parsing object key -
    // unexpected '}'; expected string literal"
    std::string why = error.what();
    const auto dash = why.find(" - ");
    if (dash != std::string::npos) why = why.substr(dash + 3);
    if (dash == std::string::npos && why.find("out_of_range") != std::string::npos) why = "a number is out of range";
    if (const auto read = why.find("; last read"); read != std::string::npos) why.resize(read);
    object_.fault = {line(), "it is not JSON: " + why + hint()};
    return false;
  }

 private:
  /// Of the last character that the parser read: the end of the token that it speaks of, or the one after it.
  int line() {
    const std::size_t last = std::min(offset_ == 0 ? 0 : offset_ - 1, text_.size());
    const auto from = text_.begin() + static_cast<std::ptrdiff_t>(counted_);
    line_ += static_cast<int>(std::count(from, text_.begin() + static_cast<std::ptrdiff_t>(last), '\n'));
    counted_ = last;  // the offset only grows, so no part of the text is counted twice
    return line_;
  }

  /// What people most often write that JSON does not know.
  std::string hint() const {
    if (offset_ == 0 || offset_ > text_.size()) return "";
    const char c = text_[offset_ - 1];
    if (c == '\'') return ": write \" instead of '";
    if (c == '/' || c == '#') return ": write a remark as \"comment\": \"...\"";
    const auto before = text_.substr(0, offset_ - 1).find_last_not_of(" \t\r\n");
    if (c == '}' && before != std::string_view::npos && text_[before] == ',') return ": remove the comma before it";
    if (c == '"') return ": a comma or a colon is missing before it";
    return "";
  }

  bool value(Json v, std::string shown) {
    if (depth_ == 0) return not_an_object();
    if (depth_ == 1) object_.members.back().value = std::move(v), object_.members.back().text = std::move(shown);
    return true;
  }
  bool begin(Json v, const char* shown) {
    if (depth_ == 0 && !v.is_object()) return not_an_object();
    if (depth_ == 1) object_.members.back().value = std::move(v), object_.members.back().text = shown;
    if (++depth_ <= max_depth) return true;
    object_.fault = {line(), "its JSON is nested more than " + std::to_string(max_depth) + " deep: a model is flat"};
    return false;
  }
  bool end() {
    if (--depth_ == 0) object_.last_line = line();
    return true;
  }
  bool not_an_object() {
    object_.fault = {line(), "it is not a JSON object: begin it with {"};
    return false;
  }

  std::string_view text_;
  LocatedObject& object_;
  std::size_t offset_ = 0, counted_ = 0;
  int depth_ = 0, line_ = 1;  ///< the line that holds the byte number counted_
};

}  // namespace located_json

/// Reads the members of a JSON object with their lines. Never throws for what the text says.
inline LocatedObject parse_located(std::string_view text) {
  LocatedObject object;
  const auto line_of = [&](std::size_t byte) {
    return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(byte), '\n'));
  };
  if (const auto at = first_utf8_fault(text)) {
    object.fault = {line_of(*at), "it is not UTF-8 at byte " + std::to_string(*at) + ": save it as UTF-8"};
  } else if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    object.fault = {line_of(zero), "it holds a zero byte: it is not a text file"};  // to the parser that is the end
  } else {
    located_json::Reader reader(text, object);
    using located_json::Cursor;
    Json::sax_parse(Cursor{text.data(), reader.offset()}, Cursor{text.data() + text.size(), reader.offset()}, &reader);
  }
  return object;
}

}  // namespace tinygpt

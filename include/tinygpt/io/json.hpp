// JSON from a file that nobody vouches for: depth and duplicate keys are checked, and every fault is one sentence.
#pragma once

#include <nlohmann/json.hpp>

#include <cctype>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/error.hpp>
#include <tinygpt/io/file.hpp>

namespace tinygpt {

using Json = nlohmann::json;

/// "FILE is damaged: FAULT: use another copy", the sentence for a file that is not what it should be.
inline DamagedFile damaged(const std::filesystem::path& path, std::string_view fault) {
  return DamagedFile(path.string() + " is damaged: " + std::string(fault) + ": use another copy");
}

/// The byte at which JSON becomes nested more deeply than `most`, if it does.
inline std::optional<std::size_t> first_too_deep(std::string_view text, int most) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\') ++i;
    if (in_string) continue;
    if ((c == '[' || c == '{') && ++depth > most) return i;
    if (c == ']' || c == '}') --depth;
  }
  return std::nullopt;
}

namespace json {

/// Builds the tree from the events of nlohmann's parser, in linear time: the parser's own callback walks through all
/// members of the parent at the end of each object.
class TreeBuilder {
 public:
  static constexpr int most_depth = 32;

  TreeBuilder(std::string_view text, const std::filesystem::path& path) : text_(text), path_(path) {}

  Json take() { return std::move(root_); }

  bool null() { return value(nullptr); }
  bool boolean(bool b) { return value(b); }
  bool number_integer(Json::number_integer_t n) { return value(n); }
  bool number_unsigned(Json::number_unsigned_t n) { return value(n); }
  bool number_float(Json::number_float_t x, const std::string&) { return value(x); }
  bool string(const std::string& s) { return value(s); }  // a copy: the parser's own buffer is larger than the text
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) { return begin(Json::object()); }
  bool start_array(std::size_t) { return begin(Json::array()); }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool key(const std::string& k) {
    const auto [at, added] = open_.back()->get_ref<Json::object_t&>().try_emplace(k);
    if (!added) throw damaged(path_, "its JSON has the key '" + printable(at->first) + "' twice");
    member_ = &at->second;
    return true;
  }
  bool parse_error(std::size_t byte, const std::string& read, const Json::exception& error) {
    constexpr int number_overflow = 406;  // of nlohmann's numbers for exceptions
    if (error.id != number_overflow) throw damaged(path_, "it is not JSON at byte " + std::to_string(byte));
    throw damaged(path_, "its JSON holds a number '" + printable(read.substr(0, 60)) + "' that is out of range");
  }

 private:
  Json& add(Json&& v) {
    if (open_.empty()) return root_ = std::move(v);
    if (open_.back()->is_object()) return *member_ = std::move(v);
    auto& list = open_.back()->get_ref<Json::array_t&>();
    list.push_back(std::move(v));
    return list.back();
  }
  bool value(Json v) {
    add(std::move(v));
    return true;
  }
  bool begin(Json v) {
    if (open_.size() == most_depth) {  // an event does not say where it is
      const std::size_t at = first_too_deep(text_, most_depth).value_or(text_.size());
      throw damaged(path_, "its JSON is nested too deeply at byte " + std::to_string(at));
    }
    open_.push_back(&add(std::move(v)));
    return true;
  }
  bool end() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::filesystem::path& path_;
  Json root_;
  std::vector<Json*> open_;  ///< objects and arrays that have not ended; each lies in the one before it
  Json* member_ = nullptr;   ///< of the last open object, after its key
};

}  // namespace json

/// Parses a JSON object. Nesting deeper than 32, a repeated key, invalid UTF-8 or anything after the end is an error.
inline Json parse_json(std::string_view text, const std::filesystem::path& path) {
  if (const auto fault = first_utf8_fault(text)) {
    throw damaged(path, "its JSON is not UTF-8 at byte " + std::to_string(*fault));
  }
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    throw damaged(path, "it is not JSON at byte " + std::to_string(zero));  // the parser would take it for the end
  }
  json::TreeBuilder builder(text, path);
  Json::sax_parse(text, &builder);
  Json json = builder.take();
  if (!json.is_object()) throw damaged(path, "at byte 0, its JSON is not an object");
  return json;
}

inline Json read_json(const std::filesystem::path& path) { return parse_json(read_small_file(path), path); }

/// Two spaces of indentation and a newline at the end. A text that is not UTF-8 is a bug: see bytes_text().
inline std::string json_text(const Json& json) { return json.dump(2) + "\n"; }

/// Bytes of any kind, such as the name of a file, as text for JSON: UTF-8 as it is, but a byte that belongs to no
/// character as \xE9, and a backslash before an x and two hexadecimal digits as \x5C, so that it can be undone.
inline std::string bytes_text(std::string_view bytes) {
  const auto escaped = [](char c) {
    const char digits[] = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    return std::string{'\\', 'x', digits[byte >> 4], digits[byte & 15]};
  };
  std::string text;
  const auto add_characters = [&](std::string_view part) {
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto is_digit = [&](std::size_t at) { return std::isxdigit(static_cast<unsigned char>(part[at])) != 0; };
      const bool looks_escaped =
          part[i] == '\\' && i + 3 < part.size() && part[i + 1] == 'x' && is_digit(i + 2) && is_digit(i + 3);
      text += looks_escaped ? escaped(part[i]) : std::string(1, part[i]);
    }
  };
  while (const auto fault = first_utf8_fault(bytes)) {
    add_characters(bytes.substr(0, *fault));
    text += escaped(bytes[*fault]);
    bytes.remove_prefix(*fault + 1);
  }
  add_characters(bytes);
  return text;
}

/// A member that must be there, of exactly the right type and in its range.
template <class Value> Value member(const Json& object, const char* key, const std::filesystem::path& path) {
  const auto found = object.find(key);
  if (found == object.end()) throw damaged(path, "'" + std::string(key) + "' is missing");
  const auto wrong = [&](const char* what) { return damaged(path, "'" + std::string(key) + "' must be " + what); };
  if constexpr (std::is_same_v<Value, bool>) {
    if (!found->is_boolean()) throw wrong("true or false");
    return found->template get<bool>();
  } else if constexpr (std::is_integral_v<Value>) {
    using Limits = std::numeric_limits<Value>;
    if (found->is_number_unsigned()) {
      const auto value = found->template get<std::uint64_t>();
      if (value > static_cast<std::uint64_t>(Limits::max())) throw wrong("a smaller number");
      return static_cast<Value>(value);
    }
    if (!found->is_number_integer()) throw wrong("a whole number");
    const auto value = found->template get<std::int64_t>();
    if (value > 0 && static_cast<std::uint64_t>(value) > static_cast<std::uint64_t>(Limits::max())) {
      throw wrong("a smaller number");
    }
    if (std::is_unsigned_v<Value> ? value < 0 : value < static_cast<std::int64_t>(Limits::min()))
      throw wrong("a larger number");
    return static_cast<Value>(value);
  } else if constexpr (std::is_floating_point_v<Value>) {
    if (!found->is_number()) throw wrong("a number");
    return found->template get<Value>();
  } else if constexpr (std::is_same_v<Value, std::string>) {
    if (!found->is_string()) throw wrong("a text");
    return found->template get<std::string>();
  } else {
    static_assert(std::is_same_v<Value, Json>);
    if (!found->is_object()) throw wrong("an object");
    return *found;
  }
}

}  // namespace tinygpt

// JSON from a file that nobody vouches for: depth and duplicate keys are checked, and every fault is one sentence.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
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

/// Parses a JSON object. Nesting deeper than 32, a repeated key, invalid UTF-8 or anything after the end is an error.
inline Json parse_json(std::string_view text, const std::filesystem::path& path) {
  constexpr int most_depth = 32;
  if (const auto fault = first_utf8_fault(text)) {
    throw damaged(path, "its JSON is not UTF-8 at byte " + std::to_string(*fault));
  }
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    throw damaged(path, "it is not JSON at byte " + std::to_string(zero));  // the parser would take it for the end
  }
  std::vector<std::set<std::string>> keys;
  const auto guard = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > most_depth) {  // an event does not say where it is
      const std::size_t at = first_too_deep(text, most_depth).value_or(text.size());
      throw damaged(path, "its JSON is nested too deeply at byte " + std::to_string(at));
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw damaged(path, "its JSON has the key '" + printable(parsed.get<std::string>()) + "' twice");
    }
    return true;
  };
  try {
    Json json = Json::parse(text, guard);
    if (!json.is_object()) throw damaged(path, "at byte 0, its JSON is not an object");
    return json;
  } catch (const Json::parse_error& error) {
    throw damaged(path, "it is not JSON at byte " + std::to_string(error.byte));
  } catch (const Json::exception& error) {
    const std::string_view what = error.what();  // "... parsing '1e999'"
    const auto quote = what.find('\'');
    const std::string number = quote == what.npos ? "" : " " + printable(what.substr(quote, 60));
    throw damaged(path, "its JSON holds a number" + number + " that is out of range");
  }
}

inline Json read_json(const std::filesystem::path& path) { return parse_json(read_small_file(path), path); }

/// Two spaces of indentation and a newline at the end.
inline std::string json_text(const Json& json) { return json.dump(2) + "\n"; }

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

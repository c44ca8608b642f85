// A character tokenizer as JSON.
#pragma once

#include <tinygpt/data/character_tokenizer.hpp>
#include <tinygpt/io/json.hpp>

namespace tinygpt {

inline Json tokenizer_to_json(const CharacterTokenizer& tokenizer) {
  Json bytes = Json::array();
  for (const char c : tokenizer.alphabet()) bytes.push_back(static_cast<unsigned char>(c));
  return {{"format", "tinygpt-tokenizer"}, {"format_version", 1}, {"type", "character"}, {"bytes", bytes}};
}

/// `vocab` is the room that the model has for ids.
inline CharacterTokenizer tokenizer_from_json(const Json& json, int vocab, const std::filesystem::path& path) {
  if (member<std::string>(json, "format", path) != "tinygpt-tokenizer") throw damaged(path, "it is no tokenizer");
  if (member<int>(json, "format_version", path) != 1) {
    throw Error(path.string() + " was written by a newer tinygpt: use that version to read it");
  }
  if (member<std::string>(json, "type", path) != "character") throw damaged(path, "'type' must be character");
  const auto bytes = json.find("bytes");
  if (bytes == json.end() || !bytes->is_array()) throw damaged(path, "'bytes' must be a list of numbers");
  if (bytes->empty() || bytes->size() > static_cast<std::size_t>(vocab)) {
    throw damaged(path, "'bytes' must hold 1 to " + std::to_string(vocab) + " numbers, as the model has room for");
  }
  std::string alphabet;
  for (const Json& byte : *bytes) {
    if (!byte.is_number_unsigned() || byte.get<std::uint64_t>() > 255) {
      throw damaged(path, "'bytes' must hold numbers from 0 to 255");
    }
    const char c = static_cast<char>(byte.get<unsigned char>());
    if (alphabet.find(c) != std::string::npos) throw damaged(path, "'bytes' holds a number twice");
    alphabet += c;
  }
  return CharacterTokenizer(alphabet);
}

}  // namespace tinygpt

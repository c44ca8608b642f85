// What a model directory holds beside architecture, weights and tokenizer, and what no tool may lose: where texts begin
// and end, how a chat is written, how to sample. It is carried along as it is, by import, export and training.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/model_files.hpp>
#include <tinygpt/io/tokenizer_json.hpp>

namespace tinygpt {

/// Empty for a model that began here: its files follow from the tokenizer.
struct Companions {
  std::map<std::string, std::string> files;  ///< content by name, byte for byte
  Json config = Json::object();              ///< the members of config.json
  std::vector<std::int64_t> ends;            ///< each id ends a text; of those that the model's files say
  std::optional<std::int64_t> begin;         ///< begins one
  std::string end_text;                      ///< the special token that ends a text, where only its name is said
};

namespace companions {

inline constexpr const char* names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.jinja", "generation_config.json"};

inline Json value_of(const Json& json, const char* key) {
  return json.is_object() && json.contains(key) ? json[key] : Json(nullptr);
}

/// A number or a list of numbers, as transformers has ids that begin and end texts; nothing for null.
inline std::vector<std::int64_t> ids_of(const Json& json, const char* key, const std::filesystem::path& path) {
  const Json value = value_of(json, key);
  if (value.is_null()) return {};
  std::vector<std::int64_t> ids;
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    const bool fits = id.is_number_integer() && !(id.is_number_unsigned() && id.get<std::uint64_t>() > INT64_MAX);
    if (!fits) throw damaged(path, "'" + std::string(key) + "' must be a whole number or a list of them");
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

/// A token of tokenizer_config.json: a text, or an object that holds it.
inline std::string token_text(const Json& json, const char* key) {
  Json value = value_of(json, key);
  if (value.is_object()) value = value_of(value, "content");
  return value.is_string() ? value.get<std::string>() : "";
}

inline Json parsed(const Companions& all, const char* name) {
  const auto found = all.files.find(name);
  return found == all.files.end() ? Json::object() : parse_json(found->second, name);
}

}  // namespace companions

/// What generation_config.json says of ids counts before config.json, as in transformers. Throws DamagedFile where an
/// id is none, or a file is no JSON.
inline Companions read_companions(const ModelReader& reader) {
  Companions all;
  for (const char* const name : companions::names) {
    if (reader.has(name)) all.files[name] = reader.text(name, max_tokenizer_file);
  }
  const auto parsed = [&](const char* name) {
    const auto found = all.files.find(name);
    return found == all.files.end() ? Json::object() : parse_json(found->second, reader.path(name));
  };
  // A tokenizer in the format of before is written anew.
  if (parsed("tokenizer.json").contains("format")) all.files.erase("tokenizer.json");
  const Json config = reader.json("config.json");
  if (config.contains("model_type") && config["model_type"] != "tinygpt") {
    all.config = config;
    // Ours, and what names Python files that are not carried.
    for (const char* const key : {"tinygpt", "auto_map"}) all.config.erase(key);
  }
  const Json generation = parsed("generation_config.json");
  const auto ids = [&](const char* key) {
    auto said = companions::ids_of(generation, key, reader.path("generation_config.json"));
    return said.empty() ? companions::ids_of(config, key, reader.path("config.json")) : said;
  };
  all.ends = ids("eos_token_id");
  if (const auto begin = ids("bos_token_id"); !begin.empty()) all.begin = begin.front();
  all.end_text = companions::token_text(parsed("tokenizer_config.json"), "eos_token");
  return all;
}

/// The ids that end a text, each once: those that the model's files say, in their order, and the tokenizer's own. None
/// beyond the tokenizer, as no text has them.
inline std::vector<std::int32_t> end_tokens(const Companions& all, const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ends;
  const auto add = [&](std::int64_t id) {
    if (id < 0 || id >= tokenizer.size() || std::find(ends.begin(), ends.end(), id) != ends.end()) return;
    ends.push_back(static_cast<std::int32_t>(id));
  };
  for (const std::int64_t id : all.ends) add(id);
  if (all.ends.empty()) {
    for (const SpecialToken& s : tokenizer.vocabulary().special()) {
      if (s.content == all.end_text) add(s.id);
    }
  }
  if (const auto end = tokenizer.end_of_text()) add(*end);
  return ends;
}

/// The id with which a text begins: what the model's files say, or the one that ends the text before it.
inline std::optional<std::int32_t> begin_token(const Companions& all, const Tokenizer& tokenizer) {
  if (all.begin && *all.begin >= 0 && *all.begin < tokenizer.size()) return static_cast<std::int32_t>(*all.begin);
  return tokenizer.end_of_text();
}

/// The template of a chat: a file of its own, or a member of tokenizer_config.json, where several have names and
/// "default" is the one. Empty: there is none.
inline std::string chat_template(const Companions& all) {
  if (const auto file = all.files.find("chat_template.jinja"); file != all.files.end()) return file->second;
  const Json said = companions::value_of(companions::parsed(all, "tokenizer_config.json"), "chat_template");
  if (said.is_string()) return said.get<std::string>();
  if (!said.is_array()) return "";
  for (const Json& each : said) {
    if (each.is_object() && companions::value_of(each, "name") == "default") {
      return companions::token_text(each, "template");
    }
  }
  return "";
}

/// Does tokenizer.json put a special token before every text?
inline bool adds_begin(const Companions& all) {
  const Json processor = companions::value_of(companions::parsed(all, "tokenizer.json"), "post_processor");
  Json each = companions::value_of(processor, "processors");
  if (!each.is_array()) each = Json::array({processor});
  for (const Json& one : each) {
    const Json single = companions::value_of(one, "single");
    if (single.is_array() && !single.empty() && single.front().is_object() && single.front().contains("SpecialToken")) {
      return true;
    }
  }
  return false;
}

}  // namespace tinygpt

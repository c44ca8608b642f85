// A tokenizer as Hugging Face's tokenizer.json, written and read; and the format that tinygpt had before, read.
//
// What the file asks for that would give other tokens here than there is refused by name. One thing differs on
// purpose: special tokens are found in a text only where that is asked for, and never added to it. Truncation and
// padding are for batches: they decide no id of a text, so they are passed over.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/json.hpp>
#include <tinygpt/io/vocab_json.hpp>

namespace tinygpt {

/// As large as such a file may be: 500,000 tokens have room.
inline constexpr std::int64_t max_tokenizer_file = std::int64_t{64} << 20;

namespace tokenizer_json {

/// The regular expressions that stand in such files for a pattern, each as it was published. A pattern is known by its
/// exact spelling only: the engine that reads these files makes other words of what looks the same.
struct Written {
  Pattern pattern;
  const char* regex;
};
inline constexpr Written patterns[] = {
    // Llama 3's, and GPT-4's as first published.
    {Pattern::gpt4,
     R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re"},
    // GPT-4's in tiktoken since 0.6.
    {Pattern::gpt4_whole_numbers,
     R"re('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)re"},
    {Pattern::gpt2, R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re"},
    {Pattern::gpt2, R"re('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re"},
    {Pattern::gpt2, R"re('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)re"},
};

/// Reads one file. Every fault says where in it.
class Reader {
 public:
  Reader(const Json& json, const std::filesystem::path& path) : json_(json), path_(path) {}

  Tokenizer read() const {
    if (const Json* const found = present(json_, "normalizer")) refuse("a normalizer" + kind_of(*found));
    const Json& model = object(json_, "model", "model");
    check_model(model);
    const Pattern pattern = read_pre_tokenizer();
    if (const Json* const decoder = present(json_, "decoder"); decoder && type_of(*decoder) != "ByteLevel") {
      refuse("a decoder" + kind_of(*decoder));
    }
    std::vector<SpecialToken> special = read_added_tokens();
    VocabJson vocab(object(model, "vocab", "model.vocab"), special, path_);
    std::vector<Merge> merges = read_merges(model, vocab);
    const bool ignore_merges = flag(model, "ignore_merges", "model.ignore_merges");
    return tokenizer_of(std::move(vocab.tokens()), std::move(merges), pattern, std::move(special),
                        ignore_merges ? WholeWords::at_once : WholeWords::merged, path_);
  }

 private:
  [[noreturn]] void fault(const std::string& what) const { throw damaged(path_, what); }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error("cannot use " + path_.string() + ": it has " + what +
                ", which tinygpt does not follow, so that it would give other tokens: use a byte-level BPE tokenizer "
                "without it");
  }

  /// A member that is there and not null.
  static const Json* present(const Json& in, const char* key) {
    const auto found = in.find(key);
    return found == in.end() || found->is_null() ? nullptr : &*found;
  }
  static std::string type_of(const Json& json) {
    if (!json.is_object()) return "";
    const Json* const type = present(json, "type");
    return type && type->is_string() ? type->get<std::string>() : "";
  }
  static std::string kind_of(const Json& json) {
    const std::string type = type_of(json);
    return type.empty() ? "" : " of type " + printable(type.substr(0, 40));
  }
  const Json& object(const Json& in, const char* key, const std::string& place) const {
    const auto found = in.find(key);
    if (found == in.end()) fault("'" + place + "' is missing");
    if (!found->is_object()) fault("'" + place + "' must be an object");
    return *found;
  }
  bool flag(const Json& in, const char* key, const std::string& place) const {
    const Json* const found = present(in, key);
    if (found && !found->is_boolean()) fault("'" + place + "' must be true or false");
    return found && found->get<bool>();
  }

  void check_model(const Json& model) const {
    const std::string type = type_of(model);
    if (model.contains("type") && type != "BPE") refuse("a model" + kind_of(model) + " instead of BPE");
    if (flag(model, "byte_fallback", "model.byte_fallback")) refuse("byte_fallback");
    if (const Json* const dropout = present(model, "dropout")) {
      if (!dropout->is_number()) fault("'model.dropout' must be a number");
      if (dropout->get<double>() != 0) refuse("dropout");
    }
    for (const std::string key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json* const found = present(model, key.c_str());
      if (found && !found->is_string()) fault("'model." + key + "' must be a text");
      if (found && !found->get_ref<const std::string&>().empty()) refuse((key[0] == 'e' ? "an " : "a ") + key);
    }
  }

  Pattern read_pre_tokenizer() const {
    const Json* const found = present(json_, "pre_tokenizer");
    if (!found) refuse("no pre_tokenizer of type ByteLevel");
    const Json& pre = *found;
    if (type_of(pre) == "ByteLevel") return read_byte_level(pre, "pre_tokenizer") ? Pattern::gpt2 : Pattern::none;
    if (type_of(pre) != "Sequence") refuse("a pre_tokenizer" + kind_of(pre));
    const auto list = pre.find("pretokenizers");
    if (list == pre.end() || !list->is_array()) fault("'pre_tokenizer.pretokenizers' must be a list");
    if (list->size() == 1 && type_of((*list)[0]) == "ByteLevel") {
      return read_byte_level((*list)[0], "pre_tokenizer.pretokenizers[0]") ? Pattern::gpt2 : Pattern::none;
    }
    if (list->size() != 2 || type_of((*list)[0]) != "Split" || type_of((*list)[1]) != "ByteLevel") {
      refuse("a pre_tokenizer of type Sequence that is not Split and ByteLevel");
    }
    if (read_byte_level((*list)[1], "pre_tokenizer.pretokenizers[1]"))
      refuse("a Split before a ByteLevel with use_regex");
    return read_split((*list)[0]);
  }

  /// Whether it cuts text by GPT-2's pattern.
  bool read_byte_level(const Json& json, const std::string& place) const {
    // Without the key it is true in both cases, as in the library that writes these files.
    if (!json.contains("add_prefix_space") || flag(json, "add_prefix_space", place + ".add_prefix_space")) {
      refuse("add_prefix_space");
    }
    return !json.contains("use_regex") || flag(json, "use_regex", place + ".use_regex");
  }

  Pattern read_split(const Json& split) const {
    const std::string place = "pre_tokenizer.pretokenizers[0]";
    const Json& pattern = object(split, "pattern", place + ".pattern");
    const auto regex = pattern.find("Regex"), behavior = split.find("behavior");
    if (regex == pattern.end() || !regex->is_string()) refuse("a Split by something else than a regular expression");
    if (behavior == split.end() || !behavior->is_string()) fault("'" + place + ".behavior' must be a text");
    // A pattern finds all of a text, so what it finds and what lies between is the same either way.
    const bool isolated = *behavior == "Isolated", removed = *behavior == "Removed";
    if (!isolated && !(removed && flag(split, "invert", place + ".invert"))) {
      refuse("a Split with behavior " + printable(behavior->get<std::string>().substr(0, 40)));
    }
    for (const Written& known : patterns) {
      if (*regex == known.regex) return known.pattern;
    }
    refuse("a Split by the regular expression " + quoted_text(regex->get_ref<const std::string&>()) +
           ", which is none of GPT-2's, GPT-4's and Llama 3's to the letter");
  }

  std::vector<SpecialToken> read_added_tokens() const {
    std::vector<SpecialToken> special;
    const Json* const added = present(json_, "added_tokens");
    if (!added) return special;
    if (!added->is_array()) fault("'added_tokens' must be a list");
    for (std::size_t i = 0; i < added->size(); ++i) {
      const Json& token = (*added)[i];
      const std::string place = "added_tokens[" + std::to_string(i) + "]";
      if (!token.is_object()) fault("'" + place + "' must be an object");
      const auto content = token.find("content"), id = token.find("id");
      if (content == token.end() || !content->is_string()) fault("'" + place + ".content' must be a text");
      if (id == token.end()) fault("'" + place + ".id' is missing");
      if (!flag(token, "special", place + ".special")) {
        refuse("the added token " + quoted_text(content->get<std::string>()) + " that is not special");
      }
      special.push_back({content->get<std::string>(), read_token_id(*id, path_, "'" + place + "'")});
    }
    return special;
  }

  std::vector<Merge> read_merges(const Json& model, VocabJson& vocab) const {
    const auto list = model.find("merges");
    if (list == model.end() || !list->is_array()) fault("'model.merges' must be a list");
    std::vector<Merge> merges;
    merges.reserve(list->size());
    for (std::size_t i = 0; i < list->size(); ++i) {
      const Json& item = (*list)[i];
      const std::string place = "'model.merges[" + std::to_string(i) + "]'";
      if (item.is_string()) {
        const std::string_view text = item.get_ref<const std::string&>();
        if (i == 0 && text.starts_with("#version")) continue;
        const auto space = text.find(' ');
        if (space == text.npos || text.find(' ', space + 1) != text.npos) {
          fault(place + " must be two tokens with a space between");
        }
        merges.push_back(vocab.merge(text.substr(0, space), text.substr(space + 1), place));
      } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
        merges.push_back(
            vocab.merge(item[0].get_ref<const std::string&>(), item[1].get_ref<const std::string&>(), place));
      } else {
        fault(place + " must be two tokens");
      }
    }
    return merges;
  }

  const Json& json_;
  const std::filesystem::path& path_;
};

/// What tinygpt wrote until it had merges: the bytes of an alphabet.
inline Tokenizer read_alphabet(const Json& json, const std::filesystem::path& path) {
  if (member<int>(json, "format_version", path) != 1) {
    throw Error(path.string() + " was written by a newer tinygpt: use that version to read it");
  }
  if (member<std::string>(json, "type", path) != "character") throw damaged(path, "'type' must be character");
  const auto bytes = json.find("bytes");
  if (bytes == json.end() || !bytes->is_array()) throw damaged(path, "'bytes' must be a list of numbers");
  if (bytes->empty() || bytes->size() > 256) throw damaged(path, "'bytes' must hold 1 to 256 numbers");
  std::vector<std::string> tokens;
  std::array<bool, 256> seen{};
  for (const Json& byte : *bytes) {
    if (!byte.is_number_unsigned() || byte.get<std::uint64_t>() > 255) {
      throw damaged(path, "'bytes' must hold numbers from 0 to 255");
    }
    const auto value = byte.get<std::uint8_t>();
    if (std::exchange(seen[value], true)) throw damaged(path, "'bytes' holds a number twice");
    tokens.emplace_back(1, static_cast<char>(value));
  }
  return Tokenizer(std::move(tokens), {}, Pattern::none, {});
}

inline Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

inline Json pre_tokenizer(Pattern pattern) {
  if (pattern == Pattern::none || pattern == Pattern::gpt2) return byte_level(pattern == Pattern::gpt2);
  const auto known = std::find_if(std::begin(patterns), std::end(patterns),
                                  [&](const Written& written) { return written.pattern == pattern; });
  const Json split{
      {"type", "Split"}, {"pattern", {{"Regex", known->regex}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false)})}};
}

inline Json post_processor(const Tokenizer& tokenizer, std::optional<std::int32_t> first) {
  if (!first) return byte_level(true);
  const std::string name(tokenizer.decode(*first));
  const auto text = [](const char* id, int type) { return Json{{"Sequence", {{"id", id}, {"type_id", type}}}}; };
  const Json token{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  const Json before{
      {"type", "TemplateProcessing"},
      {"single", Json::array({token, text("A", 0)})},
      {"pair", Json::array({token, text("A", 0), text("B", 1)})},
      {"special_tokens", {{name, {{"id", name}, {"ids", Json::array({*first})}, {"tokens", Json::array({name})}}}}}};
  return {{"type", "Sequence"}, {"processors", Json::array({byte_level(true), before})}};
}

}  // namespace tokenizer_json

/// From the content of a tokenizer.json; `path` is for messages.
inline Tokenizer tokenizer_from_json(const Json& json, const std::filesystem::path& path) {
  if (json.contains("format")) {
    if (member<std::string>(json, "format", path) != "tinygpt-tokenizer") throw damaged(path, "it is no tokenizer");
    return tokenizer_json::read_alphabet(json, path);
  }
  return tokenizer_json::Reader(json, path).read();
}

/// The content of a tokenizer.json that Hugging Face's library reads, one token and one merge on a line. `first`: a
/// special token that it is to put before every text.
inline std::string tokenizer_json_text(const Tokenizer& tokenizer, std::optional<std::int32_t> first = std::nullopt) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const std::vector<std::string> texts = token_texts(tokenizer);
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  const char* comma = "";
  for (const SpecialToken& s : vocabulary.special()) {
    const Json token{{"id", s.id},      {"content", s.content}, {"single_word", false}, {"lstrip", false},
                     {"rstrip", false}, {"normalized", false},  {"special", true}};
    out += comma + ("\n    " + token.dump());
    comma = ",";
  }
  out +=
      "],\n  \"normalizer\": null,\n  \"pre_tokenizer\": " + tokenizer_json::pre_tokenizer(vocabulary.pattern()).dump();
  out += ",\n  \"post_processor\": " + tokenizer_json::post_processor(tokenizer, first).dump();
  out += ",\n  \"decoder\": " + tokenizer_json::byte_level(true).dump();
  out +=
      ",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
      "    \"byte_fallback\": false,\n    \"ignore_merges\": ";
  out += vocabulary.whole_words() == WholeWords::at_once ? "true" : "false";
  out += ",\n    \"vocab\": {" + vocab_members(texts, "      ");
  out += "\n    },\n    \"merges\": [";
  comma = "";
  for (const Merge& m : vocabulary.merges()) {
    const auto text = [&](std::int32_t id) -> const std::string& { return texts[static_cast<std::size_t>(id)]; };
    // In one text, as every version of the library reads it; but one that looks like the line of a version is passed
    // over.
    const bool apart = text(m.left).starts_with("#version");
    const Json merge = apart ? Json::array({text(m.left), text(m.right)}) : Json(text(m.left) + " " + text(m.right));
    out += comma + ("\n      " + merge.dump());
    comma = ",";
  }
  return out += "\n    ]\n  }\n}\n";
}

}  // namespace tinygpt

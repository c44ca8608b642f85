// The vocabulary in the files of byte-level BPE: a JSON object from the text of each token to its id.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/byte_characters.hpp>
#include <tinygpt/io/json.hpp>

namespace tinygpt {

/// A text from a file within a message: not too long, and safe to print.
inline std::string quoted_text(std::string_view text) {
  return "'" + printable(text.substr(0, 60)) + (text.size() > 60 ? "...'" : "'");
}

/// An id as a file has it; `place` is for messages.
inline std::int32_t read_token_id(const Json& id, const std::filesystem::path& path, const std::string& place) {
  if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= Vocabulary::max_tokens) {
    throw damaged(path, "the id of " + place + " must be a number from 0 to 16777215");
  }
  return static_cast<std::int32_t>(id.get<std::uint64_t>());
}

/// Reads such an object. The ids of it and of the special tokens beside it must be 0 to n - 1, each once.
class VocabJson {
 public:
  /// `vocab` and `path` must outlive the reader.
  VocabJson(const Json& vocab, std::span<const SpecialToken> special, const std::filesystem::path& path) : path_(path) {
    const auto& entries = vocab.get_ref<const Json::object_t&>();
    std::unordered_map<std::string_view, std::int32_t> special_ids;
    std::size_t size = entries.size();
    for (const SpecialToken& s : special) {
      if (!special_ids.emplace(s.content, s.id).second)
        fault("it has the special token " + quoted_text(s.content) + " twice");
      if (!entries.contains(s.content)) ++size;
    }
    if (size == 0) fault("its vocabulary is empty");
    tokens_.resize(size);
    taken_.resize(size);
    ids_.reserve(entries.size());
    for (const auto& [text, value] : entries) {
      const std::int32_t id = read_token_id(value, path, "the token " + quoted_text(text));
      take(id, text);
      ids_.emplace(text, id);
      if (const auto s = special_ids.find(text); s != special_ids.end()) {
        if (s->second != id) {
          fault("the token " + quoted_text(text) + " has the id " + std::to_string(id) +
                " in the vocabulary and the id " + std::to_string(s->second) + " among the special tokens");
        }
        continue;
      }
      auto bytes = bytes_of(text);
      if (!bytes || bytes->empty()) fault("the token " + quoted_text(text) + " does not stand for bytes");
      tokens_[static_cast<std::size_t>(id)] = std::move(*bytes);
    }
    for (const SpecialToken& s : special) {
      if (!entries.contains(s.content)) take(s.id, s.content);
    }
  }

  /// The bytes of each id; none for special tokens.
  std::vector<std::string>& tokens() { return tokens_; }

  /// Of two texts that stand next to each other in a list of merges; `place` is for messages.
  Merge merge(std::string_view left, std::string_view right, const std::string& place) {
    joined_.assign(left).append(right);
    return {id_of(left, place), id_of(right, place), id_of(joined_, place)};
  }

 private:
  [[noreturn]] void fault(const std::string& what) const { throw damaged(path_, what); }

  void take(std::int32_t id, std::string_view text) {
    const auto i = static_cast<std::size_t>(id);
    if (i >= tokens_.size()) {
      throw Error(
          "cannot use " + path_.string() + ": the token " + quoted_text(text) + " has the id " + std::to_string(id) +
          ", but the ids of " + std::to_string(tokens_.size()) + " tokens must be 0 to " +
          std::to_string(tokens_.size() - 1) +
          " here: leave no gap between ids, for example by adding tokens such as <|unused_1|> for those between");
    }
    if (taken_[i]) fault("the token " + quoted_text(text) + " has the id of another, " + std::to_string(id));
    taken_[i] = true;
  }

  std::int32_t id_of(std::string_view text, const std::string& place) const {
    const auto found = ids_.find(text);
    if (found == ids_.end()) fault(place + " needs the token " + quoted_text(text) + ", which the vocabulary lacks");
    return found->second;
  }

  const std::filesystem::path& path_;
  std::vector<std::string> tokens_;
  std::vector<bool> taken_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
  std::string joined_;
};

/// A tokenizer of what files hold; what does not fit together is the files' fault.
inline Tokenizer tokenizer_of(std::vector<std::string> tokens, std::vector<Merge> merges, Pattern pattern,
                              std::vector<SpecialToken> special, WholeWords whole_words,
                              const std::filesystem::path& path) {
  try {
    return Tokenizer(std::move(tokens), std::move(merges), pattern, std::move(special), whole_words);
  } catch (const Error& error) {
    throw DamagedFile("cannot use " + path.string() + ": " + error.what());
  }
}

/// The texts of all tokens, by id: the characters of their bytes, and special tokens as they are. Throws where a file
/// could not hold them: an id without a token, or a special token that is written like another.
inline std::vector<std::string> token_texts(const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  std::unordered_map<std::string, std::int32_t> ids;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    const std::string_view bytes = tokenizer.decode(id);
    texts.push_back(tokenizer.is_special(id) ? std::string(bytes) : characters_of(bytes));
    if (bytes.empty()) {
      throw Error("the tokenizer has no token " + std::to_string(id) + ", which files cannot say: number them anew");
    }
    if (!ids.emplace(texts.back(), id).second) {
      throw Error("the special token " + quoted_text(texts.back()) +
                  " is written like another token in a file: give it another text");
    }
  }
  return texts;
}

/// The members of such an object, one on a line.
inline std::string vocab_members(const std::vector<std::string>& texts, std::string_view indentation) {
  std::string out;
  for (std::size_t id = 0; id < texts.size(); ++id) {
    out.append(id == 0 ? "\n" : ",\n").append(indentation);
    out += Json(texts[id]).dump() + ": " + std::to_string(id);
  }
  return out;
}

}  // namespace tinygpt

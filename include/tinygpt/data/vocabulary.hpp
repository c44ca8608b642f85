// What a tokenizer is made of, checked: the bytes of each token, the merges, the pattern and the special tokens.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tinygpt/data/merge_table.hpp>
#include <tinygpt/data/pre_tokenizer.hpp>
#include <tinygpt/data/utf8.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// A token that is no text: the end of a document, the beginning of a turn. Ordinary text never gives it, whatever it
/// says. `content` is how it is shown.
struct SpecialToken {
  std::string content;
  std::int32_t id = 0;
  friend bool operator==(const SpecialToken&, const SpecialToken&) = default;
};

/// What becomes of a word that is itself a token: merged from its bytes like any other, or that token at once, also
/// where merging would not arrive there ("ignore_merges" of Hugging Face; GPT-4 and Llama 3).
enum class WholeWords { merged, at_once };

/// The immutable content of a tokenizer. The constructor throws Error for anything that does not fit together.
class Vocabulary {
 public:
  static constexpr std::size_t max_tokens = std::size_t{1} << 24;

  Vocabulary(std::vector<std::string> tokens, std::vector<Merge> merges, Pattern pattern,
             std::vector<SpecialToken> special, WholeWords whole_words)
      : merges_(std::move(merges)), special_(std::move(special)), pattern_(pattern), whole_words_(whole_words) {
    if (tokens.empty() || tokens.size() > max_tokens) {
      throw Error("a tokenizer has 1 to 16777216 tokens, not " + std::to_string(tokens.size()) +
                  ": check where it comes from");
    }
    is_special_.resize(tokens.size());
    check_special(tokens);
    check_tokens(tokens);
    check_merges(tokens);
    keep(tokens);
  }

  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  int size() const { return static_cast<int>(is_special_.size()); }
  const std::vector<Merge>& merges() const { return merges_; }
  const MergeTable& merge_table() const { return table_; }
  const std::vector<SpecialToken>& special() const { return special_; }  ///< by id
  Pattern pattern() const { return pattern_; }
  WholeWords whole_words() const { return whole_words_; }

  bool has(std::int32_t id) const { return id >= 0 && id < size(); }
  bool is_special(std::int32_t id) const { return has(id) && is_special_[static_cast<std::size_t>(id)]; }

  std::string_view bytes(std::int32_t id) const {
    if (!has(id)) return {};
    const auto i = static_cast<std::size_t>(id);
    return std::string_view(text_).substr(first_[i], first_[i + 1] - first_[i]);
  }

  /// The token that is this one byte, or -1.
  std::int32_t id_of_byte(char byte) const { return bytes_[static_cast<unsigned char>(byte)]; }
  bool has_all_bytes() const { return std::find(bytes_.begin(), bytes_.end(), -1) == bytes_.end(); }

  /// The rank of the merge of two bytes: as the table says, but most of a text's pairs of bytes are in the first-level
  /// cache. Only where there are merges.
  std::int32_t rank_of_bytes(char left, char right) const { return byte_pair_ranks_[byte_pair(left, right)]; }

  /// The ordinary token of these bytes, or -1. Of words that are tokens, for WholeWords::at_once only.
  std::int32_t id_of_word(std::string_view word) const {
    const auto found = words_.find(word);
    return found == words_.end() ? -1 : found->second;
  }

  /// A special token in a text: where it begins, its length and its id; at the end of the text, 0 and -1 for none.
  struct SpecialAt {
    std::size_t at = 0, bytes = 0;
    std::int32_t id = -1;
  };

  /// The first of the special tokens that a text names, and of several that begin there the longest.
  SpecialAt first_special(std::string_view text) const {
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (!begins_special_[static_cast<unsigned char>(text[at])]) continue;
      for (const std::size_t bytes : special_lengths_) {
        if (bytes > text.size() - at) continue;
        const auto found = special_ids_.find(text.substr(at, bytes));
        if (found != special_ids_.end()) return {at, bytes, found->second};
      }
    }
    return {text.size(), 0, -1};
  }

  /// FNV-1a with 64 bits over all of it, numbers in little-endian order.
  std::uint64_t hash() const {
    std::uint64_t hash = 0xCBF29CE484222325u;
    const auto byte = [&](std::uint64_t b) { hash = (hash ^ (b & 0xFF)) * 0x100000001B3u; };
    const auto number = [&](std::uint64_t n) {
      for (int i = 0; i < 8; ++i) byte(n >> 8 * i);
    };
    const auto text = [&](std::string_view s) {
      number(s.size());
      for (const char c : s) byte(static_cast<unsigned char>(c));
    };
    number(is_special_.size());
    for (std::int32_t id = 0; id < size(); ++id) text(bytes(id));
    number(merges_.size());
    for (const Merge& m : merges_) {
      number(static_cast<std::uint64_t>(m.left));
      number(static_cast<std::uint64_t>(m.right));
    }
    number(special_.size());
    for (const SpecialToken& s : special_) number(static_cast<std::uint64_t>(s.id));
    number(static_cast<std::uint64_t>(pattern_));
    number(static_cast<std::uint64_t>(whole_words_));
    return hash;
  }

 private:
  static std::size_t byte_pair(char left, char right) {
    return static_cast<std::size_t>(static_cast<unsigned char>(left)) << 8 | static_cast<unsigned char>(right);
  }

  static std::string quoted(std::string_view text) { return "'" + printable(text.substr(0, 60)) + "'"; }

  void check_special(std::vector<std::string>& tokens) {
    std::sort(special_.begin(), special_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    std::unordered_map<std::string_view, std::int32_t> seen;
    for (const SpecialToken& s : special_) {
      const std::string name = "the special token " + quoted(s.content);
      if (s.content.empty()) throw Error("a special token is empty: give it a text such as <|endoftext|>");
      if (first_utf8_fault(s.content)) throw Error(name + " is not UTF-8: give it another text");
      if (!has(s.id)) {
        throw Error(name + " has the id " + std::to_string(s.id) + ", but there are only " +
                    std::to_string(tokens.size()) + " tokens: give it another");
      }
      const auto id = static_cast<std::size_t>(s.id);
      if (is_special_[id]) throw Error(name + " has the id of another, " + std::to_string(id) + ": give it its own");
      if (!tokens[id].empty() && tokens[id] != s.content) {
        throw Error(name + " has the id of the token " + quoted(tokens[id]) + ", " + std::to_string(id) +
                    ": give it its own");
      }
      if (!seen.emplace(s.content, s.id).second) throw Error(name + " is there twice: remove one");
      is_special_[id] = true;
      tokens[id] = s.content;
      begins_special_[static_cast<unsigned char>(s.content[0])] = true;
      special_lengths_.push_back(s.content.size());
    }
    special_ids_ = std::move(seen);  // special_ changes no more
    std::sort(special_lengths_.begin(), special_lengths_.end(), std::greater<>());
    special_lengths_.erase(std::unique(special_lengths_.begin(), special_lengths_.end()), special_lengths_.end());
  }

  /// Fills bytes_; an ordinary text has one id.
  void check_tokens(const std::vector<std::string>& tokens) {
    bytes_.fill(-1);
    std::unordered_map<std::string_view, std::size_t> seen;
    seen.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      if (is_special_[id] || tokens[id].empty()) continue;
      const auto [other, is_new] = seen.emplace(tokens[id], id);
      if (!is_new) {
        throw Error("the tokens " + std::to_string(other->second) + " and " + std::to_string(id) + " are both " +
                    quoted(tokens[id]) + ": a text must have one id");
      }
      if (tokens[id].size() == 1) bytes_[static_cast<unsigned char>(tokens[id][0])] = static_cast<std::int32_t>(id);
    }
    if (seen.empty()) throw Error("a tokenizer has at least one token that is text: check where it comes from");
  }

  /// Fills table_.
  void check_merges(const std::vector<std::string>& tokens) {
    if (merges_.size() >= static_cast<std::size_t>(MergeTable::none) / 4) {
      throw Error("there are " + std::to_string(merges_.size()) + " merges: check where they come from");
    }
    table_ = MergeTable(merges_);
    byte_pair_ranks_.assign(merges_.empty() ? 0 : 256 * 256, MergeTable::none);
    for (std::size_t i = 0; i < merges_.size(); ++i) {
      const Merge& m = merges_[i];
      const std::string name = "merge " + std::to_string(i + 1);
      for (const std::int32_t id : {m.left, m.right, m.merged}) {
        if (!has(id)) throw Error(name + " names the token " + std::to_string(id) + ", which is not there");
        if (is_special_[static_cast<std::size_t>(id)]) {
          throw Error(name + " makes or takes the special token " + quoted(tokens[static_cast<std::size_t>(id)]) +
                      ", which ordinary text must never give: choose a special token that is no word");
        }
      }
      const std::string& left = tokens[static_cast<std::size_t>(m.left)];
      const std::string& right = tokens[static_cast<std::size_t>(m.right)];
      const std::string_view merged = tokens[static_cast<std::size_t>(m.merged)];
      if (left.empty() || right.empty() || merged.size() != left.size() + right.size() || !merged.starts_with(left) ||
          !merged.ends_with(right)) {
        throw Error(name + " makes " + quoted(merged) + " of " + quoted(left) + " and " + quoted(right) +
                    ": it must make both in a row");
      }
      if (!table_.insert(static_cast<std::int32_t>(i))) {
        throw Error(name + " is of the same two tokens as one before it, " + quoted(left) + " and " + quoted(right) +
                    ": remove one");
      }
      if (left.size() == 1 && right.size() == 1) {
        byte_pair_ranks_[byte_pair(left[0], right[0])] = static_cast<std::int32_t>(i);
      }
    }
  }

  void keep(const std::vector<std::string>& tokens) {
    std::size_t bytes = 0;
    for (const std::string& token : tokens) bytes += token.size();
    text_.reserve(bytes);
    first_.reserve(tokens.size() + 1);
    for (const std::string& token : tokens) first_.push_back(text_.size()), text_ += token;
    first_.push_back(text_.size());
    if (whole_words_ == WholeWords::merged) return;
    words_.reserve(tokens.size());
    for (std::int32_t id = 0; id < size(); ++id) {
      if (!is_special(id) && !this->bytes(id).empty()) words_.emplace(this->bytes(id), id);
    }
  }

  std::string text_;                ///< of all tokens in a row
  std::vector<std::size_t> first_;  ///< where each begins in it
  std::vector<bool> is_special_;
  std::array<std::int32_t, 256> bytes_{};
  std::unordered_map<std::string_view, std::int32_t> words_;  ///< into text_
  std::vector<Merge> merges_;
  MergeTable table_;
  std::vector<std::int32_t> byte_pair_ranks_;
  std::vector<SpecialToken> special_;
  std::unordered_map<std::string_view, std::int32_t> special_ids_;  ///< into special_
  std::vector<std::size_t> special_lengths_;                        ///< each once, the longest first
  std::array<bool, 256> begins_special_{};
  Pattern pattern_;
  WholeWords whole_words_;
};

}  // namespace tinygpt

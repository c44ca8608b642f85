// Text to token ids and back: byte-level BPE, of which single bytes and the characters of a corpus are the plainest.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/data/vocabulary.hpp>
#include <tinygpt/data/word_cache.hpp>
#include <tinygpt/data/word_merger.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// The 16 hexadecimal digits of a hash.
inline std::string hash_text(std::uint64_t hash) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

/// What a text that says the name of a special token means: its characters, as in any text; or the token, of several
/// that begin at a place the longest. Only for texts whose author may begin and end turns and documents.
enum class SpecialText { ordinary, allowed };

/// A value: immutable, cheap to copy, and any number of threads may use one.
///
/// A text is cut into words by the pattern, a word into bytes, and within it the pair of neighbours whose merge comes
/// first in the list is merged, of equal pairs the leftmost, until no merge is left. Every text without unknown bytes
/// comes back exactly. Source: Sennrich et al. 2016 (arXiv:1508.07909) algorithm 1, over bytes as in GPT-2.
class Tokenizer {
 public:
  /// `tokens[id]` is the bytes of an id, "" for one that is not used (or is that of a special token). Throws Error
  /// where anything does not fit together.
  Tokenizer(std::vector<std::string> tokens, std::vector<Merge> merges, Pattern pattern,
            std::vector<SpecialToken> special, WholeWords whole_words = WholeWords::merged)
      : vocabulary_(std::make_shared<const Vocabulary>(std::move(tokens), std::move(merges), pattern,
                                                       std::move(special), whole_words)) {}

  /// Each byte is the token of its own number.
  static Tokenizer bytes() {
    std::array<bool, 256> all;
    all.fill(true);
    return characters(all);
  }

  /// One token for each different byte of a corpus, in the order of the bytes.
  static Tokenizer characters(std::string_view corpus) {
    std::array<bool, 256> seen{};
    for (const char c : corpus) seen[static_cast<unsigned char>(c)] = true;
    return characters(seen);
  }
  static Tokenizer characters(const std::array<bool, 256>& seen) {
    std::vector<std::string> tokens;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (seen[byte]) tokens.emplace_back(1, static_cast<char>(byte));
    }
    return Tokenizer(std::move(tokens), {}, Pattern::none, {});
  }

  /// Ids are 0 to size() - 1.
  int size() const { return vocabulary_->size(); }

  /// Ordinary text never gives a special token, unless they are allowed. Throws Error where a character holds a byte
  /// that has no token, naming it and its place (in characters, from 1).
  std::vector<std::int32_t> encode(std::string_view text, SpecialText special = SpecialText::ordinary) const;

  /// The bytes of a token, how a special one is shown, and nothing for an id that is not there.
  std::string_view decode(std::int32_t id) const { return vocabulary_->bytes(id); }

  std::string decode(std::span<const std::int32_t> ids) const {
    std::string text;
    for (const std::int32_t id : ids) text += decode(id);
    return text;
  }

  /// The special token that ends a document, by one of its usual names.
  std::optional<std::int32_t> end_of_text() const {
    for (const char* const name : {"<|endoftext|>", "<|end_of_text|>", "</s>"}) {
      for (const SpecialToken& s : vocabulary_->special()) {
        if (s.content == name) return s.id;
      }
    }
    return std::nullopt;
  }

  bool is_special(std::int32_t id) const { return vocabulary_->is_special(id); }

  /// Two tokenizers with the same hash are the same. It travels with data and models; hash_text() shows it.
  std::uint64_t hash() const { return vocabulary_->hash(); }

  const Vocabulary& vocabulary() const { return *vocabulary_; }

  /// Without merges and special tokens: the ids are those of single bytes.
  bool is_characters() const {
    if (!vocabulary_->merges().empty() || !vocabulary_->special().empty()) return false;
    for (std::int32_t id = 0; id < size(); ++id) {
      if (decode(id).size() != 1) return false;
    }
    return true;
  }

  /// "byte-level BPE, 50,257 tokens, GPT-2's pattern".
  std::string description() const {
    std::string count = std::to_string(size());
    for (std::size_t at = count.size(); at > 3; at -= 3) count.insert(at - 3, ",");
    if (is_characters()) return vocabulary_->has_all_bytes() ? "bytes, 256 tokens" : "characters, " + count + " tokens";
    const char* const patterns[] = {"no pattern", "GPT-2's pattern", "GPT-4's pattern",
                                    "GPT-4's pattern with whole numbers"};
    return "byte-level BPE, " + count + " tokens, " + patterns[static_cast<std::size_t>(vocabulary_->pattern())];
  }

  friend bool operator==(const Tokenizer& a, const Tokenizer& b) { return a.hash() == b.hash(); }

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  friend class Encoder;
};

/// Throws unless a model with `vocab` ids has room for all of a tokenizer's.
inline void expect_room(const Tokenizer& tokenizer, int vocab) {
  if (tokenizer.size() <= vocab) return;
  const std::string model = ", but the model has Vocab<" + std::to_string(vocab) + ">: use a model with ";
  if (tokenizer.is_characters()) {
    throw Error("the text has " + std::to_string(tokenizer.size()) + " different bytes" + model +
                "Vocab<256>, which suits any text");
  }
  const std::string size = std::to_string(tokenizer.size());
  throw Error("the tokenizer has " + size + " tokens" + model + "Vocab<" + size +
              "> or more (tinygpt train --preset NAME --vocab-size " + size +
              "; tinygpt presets shows the V of each preset), or a smaller tokenizer");
}

/// Encodes many texts, and is faster the more it has seen: it remembers words. Each thread needs one of its own.
class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer) : vocabulary_(tokenizer.vocabulary_), merger_(*vocabulary_) {}

  /// Appends the ids of `text`. Throws as Tokenizer::encode does, and appends nothing then.
  void encode(std::string_view text, std::vector<std::int32_t>& out, SpecialText special = SpecialText::ordinary) {
    const std::size_t before = out.size();
    if (out.empty() && vocabulary_->merges().empty()) out.reserve(text.size());
    try {
      encode_in_pieces(text, special,
                       [&](std::span<const std::int32_t> ids) { out.insert(out.end(), ids.begin(), ids.end()); });
    } catch (...) {
      out.resize(before);
      throw;
    }
  }

  /// Calls use(ids) for the ids of `text` in pieces. Throws as Tokenizer::encode does; of ordinary text before the first
  /// piece.
  template <class Use> void encode_in_pieces(std::string_view text, SpecialText special, Use&& use) {
    if (special == SpecialText::ordinary) return encode_in_pieces(text, use);
    while (!text.empty()) {
      const Vocabulary::SpecialAt found = vocabulary_->first_special(text);
      if (found.at > 0) encode_in_pieces(text.substr(0, found.at), use);
      if (found.id >= 0) use(std::span<const std::int32_t>(&found.id, 1));
      text.remove_prefix(found.at + found.bytes);
    }
  }

  /// Calls use(ids) for the ids of `text` in pieces. Throws as Tokenizer::encode does, before the first of them where a
  /// character is unknown.
  template <class Use> void encode_in_pieces(std::string_view text, Use&& use) {
    if (!vocabulary_->has_all_bytes()) refuse_unknown(text);
    Output output(use);
    if (vocabulary_->merges().empty() && vocabulary_->whole_words() == WholeWords::merged) {
      for (const char c : text) output.append(vocabulary_->id_of_byte(c));
      return output.flush();
    }
    // A cache is worth its memory only where words can come again.
    if (!cache_ && seen_ + text.size() >= worth_a_cache) cache_.emplace();
    seen_ += cache_ ? 0 : text.size();
    const char* const end = text.data() + text.size();
    for_each_word(vocabulary_->pattern(), text, [&](std::string_view word) {
      if (!cache_) return output.append(encode_word(word));
      if (word.size() > WordCache::short_bytes) return encode_long(word, output);
      const WordCache::Key key = WordCache::key_of(word, end);
      if (const WordCache::Entry* const found = cache_->find(key)) return output.append(found->ids, found->count());
      const auto ids = encode_word(word);
      if (ids.size() <= WordCache::short_ids) cache_->insert(key, ids);
      output.append(ids);
    });
    output.flush();
    if (word_.capacity() > (1u << 16)) word_ = {};
  }

 private:
  static constexpr std::size_t worth_a_cache = 1 << 14;

  /// Ids on their way out, a block at a time.
  template <class Use> class Output {
   public:
    explicit Output(Use& use) : use_(use) {}

    void append(std::int32_t id) {
      if (used_ == block_.size()) flush();
      block_[used_++] = id;
    }
    /// The first `count` of four ids; copying all four is faster.
    void append(const std::array<std::int32_t, WordCache::short_ids>& ids, std::size_t count) {
      if (used_ + ids.size() > block_.size()) flush();
      std::copy(ids.begin(), ids.end(), block_.begin() + static_cast<std::ptrdiff_t>(used_));
      used_ += count;
    }
    void append(std::span<const std::int32_t> ids) {
      if (used_ + ids.size() > block_.size()) flush();
      if (ids.size() > block_.size()) return use_(ids);
      std::copy(ids.begin(), ids.end(), block_.begin() + static_cast<std::ptrdiff_t>(used_));
      used_ += ids.size();
    }
    void flush() {
      use_(std::span<const std::int32_t>(block_).first(used_));
      used_ = 0;
    }

   private:
    Use& use_;
    std::size_t used_ = 0;
    std::array<std::int32_t, 2048> block_;
  };

  /// Until the next call.
  std::span<const std::int32_t> encode_word(std::string_view word) {
    if (vocabulary_->whole_words() == WholeWords::at_once) {
      if (const auto id = vocabulary_->id_of_word(word); id >= 0) {
        word_.assign(1, id);
        return word_;
      }
    }
    merger_.merge(word, word_);
    return word_;
  }

  template <class Use> void encode_long(std::string_view word, Output<Use>& output) {
    if (word.size() > WordMerger::usual_piece) return encode_giant(word, output);
    if (word.size() > WordCache::long_bytes) return output.append(encode_word(word));
    if (const auto found = cache_->find_long(word); !found.empty()) return output.append(found);
    const auto ids = encode_word(word);
    if (ids.size() <= WordCache::long_ids) cache_->insert_long(word, ids);
    output.append(ids);
  }

  template <class Use> void encode_giant(std::string_view word, Output<Use>& output) {
    if (vocabulary_->whole_words() == WholeWords::at_once && vocabulary_->id_of_word(word) >= 0) {
      return output.append(vocabulary_->id_of_word(word));
    }
    merger_.merge_in_pieces(word, [&](std::span<const std::int32_t> ids) { output.append(ids); });
  }

  void refuse_unknown(std::string_view text) const {
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (vocabulary_->id_of_byte(text[at]) >= 0) continue;
      std::size_t first = at, last = at + 1, position = 0;
      while (first > 0 && continues(text[first])) --first;
      while (last < text.size() && continues(text[last])) ++last;
      for (std::size_t i = 0; i <= first; ++i) position += !continues(text[i]);
      throw Error("the character '" + printable(text.substr(first, last - first)) + "' at position " +
                  std::to_string(position) + " was not in the training text: leave it out or use another");
    }
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  WordMerger merger_;
  std::vector<std::int32_t> word_;
  std::optional<WordCache> cache_;
  std::size_t seen_ = 0;
};

inline std::vector<std::int32_t> Tokenizer::encode(std::string_view text, SpecialText special) const {
  std::vector<std::int32_t> ids;
  Encoder(*this).encode(text, ids, special);
  return ids;
}

}  // namespace tinygpt

// Learns the merges of byte-level BPE from counted words: the same ones, in the same order, as Hugging Face's
// tokenizers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <tinygpt/data/pair_counts.hpp>
#include <tinygpt/data/pre_tokenizer.hpp>
#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/data/utf8.hpp>
#include <tinygpt/data/word_counts.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

struct BpeOptions {
  int vocab_size = 0;                ///< tokens, with the 256 bytes and the special ones
  Pattern pattern = Pattern::gpt2;   ///< that the words were cut with
  std::vector<std::string> special;  ///< special tokens, which get the first ids
};

/// A tokenizer, and what it makes of the words that it was learned from.
struct LearnedTokenizer {
  Tokenizer tokenizer;
  std::int64_t bytes = 0, tokens = 0;
};

/// How far training has come, in tokens. It may throw, which ends the training.
using BpeProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// Words as rows of token ids, in which pairs are merged one after the other. `Id` has room for every id.
///
/// All words lie in one array; a word that gets shorter leaves its end unused. With each pair waits the list of words
/// that it occurs in, so that a merge looks only at those. A pair occurs from the merge on that makes the newer of the
/// two, and no merge adds to it later, so its list is complete when it is put in.
template <class Id> class BpeMerging {
 public:
  /// Takes the words; `ids` has the id of each byte.
  BpeMerging(WordCounts&& counts, const std::array<std::int32_t, 256>& ids) {
    words_.reserve(counts.size());
    ids_.reserve(counts.bytes());
    counts.drain([&](std::string_view word, std::int64_t count) {
      words_.push_back({ids_.size(), static_cast<std::uint32_t>(word.size()), count});
      bytes_ += count * static_cast<std::int64_t>(word.size());
      for (const char c : word) ids_.push_back(static_cast<Id>(ids[static_cast<unsigned char>(c)]));
    });
    meet_first_pairs(*std::max_element(ids.begin(), ids.end()) + 1);
  }

  /// Of all words, as often as they occur.
  std::int64_t bytes() const { return bytes_; }
  std::int64_t tokens() const {
    std::int64_t tokens = 0;
    for (const Word& word : words_) tokens += word.count * word.size;
    return tokens;
  }

  /// The pair that is due: the most frequent, of equal ones the smaller. False where none is left.
  bool next(PairQueue::Entry& due) {
    while (!queue_.empty()) {
      due = queue_.pop();
      const std::int64_t count = counts_[due.key];
      if (count == due.count) return true;
      due.count = count;
      if (count > 0) queue_.push(std::move(due));
    }
    return false;
  }

  /// Merges the pair into `merged`, an id that is larger than any before, in every word of its list.
  void merge(const PairQueue::Entry& due, std::int32_t merged) {
    before_.resize(static_cast<std::size_t>(merged) + 1), after_.resize(static_cast<std::size_t>(merged) + 1);
    for (const std::uint32_t word : due.words) merge_in(word, due.key, static_cast<Id>(merged));
    for (const std::int32_t id : touched_before_) {
      settle(before_, id, pair_key(id, pair_left(due.key)), pair_key(id, merged));
    }
    for (const std::int32_t id : touched_after_) {
      settle(after_, id, pair_key(pair_right(due.key), id), pair_key(merged, id));
    }
    touched_before_.clear(), touched_after_.clear();
    for (auto& entry : won_) {
      entry.count = counts_[entry.key];
      if (entry.count > 0) queue_.push(std::move(entry));
    }
    won_.clear();
  }

 private:
  struct Word {
    std::size_t first;   ///< in ids_
    std::uint32_t size;  ///< tokens
    std::int64_t count;
  };

  /// A token beside those that a merge joins: how often, and in which words.
  struct Neighbour {
    std::int64_t count = 0;
    std::vector<std::uint32_t> words;
  };

  /// From left to right, as in "aaa", where the first two are merged.
  void merge_in(std::uint32_t number, std::uint64_t key, Id merged) {
    Word& word = words_[number];
    Id* const ids = ids_.data() + word.first;
    const Id left = static_cast<Id>(pair_left(key)), right = static_cast<Id>(pair_right(key));
    const std::size_t size = word.size;
    std::size_t from = 0;
    while (from + 1 < size && !(ids[from] == left && ids[from + 1] == right)) ++from;
    if (from + 1 >= size) return;
    std::size_t to = from;
    while (from < size) {
      if (ids[from] != left || from + 1 == size || ids[from + 1] != right) {
        ids[to++] = ids[from++];
        continue;
      }
      if (to > 0) note(before_, touched_before_, ids[to - 1], number, word.count);
      ids[to++] = merged;
      from += 2;
      if (from < size) note(after_, touched_after_, ids[from], number, word.count);
    }
    word.size = static_cast<std::uint32_t>(to);
  }

  /// A merge in this word has the neighbour `id`.
  static void note(std::vector<Neighbour>& side, std::vector<std::int32_t>& touched, Id id, std::uint32_t word,
                   std::int64_t count) {
    Neighbour& n = side[id];
    if (n.words.empty()) touched.push_back(static_cast<std::int32_t>(id));
    if (n.words.empty() || n.words.back() != word) n.words.push_back(word);
    n.count += count;
  }

  /// What the old pair of a neighbour loses, the new one wins.
  void settle(std::vector<Neighbour>& side, std::int32_t id, std::uint64_t old_key, std::uint64_t new_key) {
    Neighbour& n = side[static_cast<std::size_t>(id)];
    counts_[old_key] -= n.count;
    counts_[new_key] += n.count;
    n.count = 0;
    won_.push_back({0, new_key, {n.words.begin(), n.words.end()}});
    n.words.clear();
  }

  /// Counts the pairs of single bytes, of which there are few enough for a table.
  void meet_first_pairs(std::int32_t ids) {
    const auto n = static_cast<std::size_t>(ids);
    struct First {
      std::int64_t count = 0;
      std::uint32_t words = 0, last = ~std::uint32_t{0};
    };
    std::vector<First> pairs(n * n);
    const auto each_pair = [&](const auto& visit) {
      for (std::uint32_t number = 0; number < words_.size(); ++number) {
        const Word& word = words_[number];
        const Id* const first = ids_.data() + word.first;
        for (std::uint32_t i = 1; i < word.size; ++i) visit(number, first[i - 1] * n + first[i], word.count);
      }
    };
    each_pair([&](std::uint32_t number, std::size_t pair, std::int64_t count) {
      First& p = pairs[pair];
      p.count += count;
      p.words += p.last != number;
      p.last = number;
    });
    std::vector<std::vector<std::uint32_t>> words(n * n);
    for (std::size_t i = 0; i < pairs.size(); ++i) words[i].reserve(pairs[i].words);
    each_pair([&](std::uint32_t number, std::size_t pair, std::int64_t) {
      if (words[pair].empty() || words[pair].back() != number) words[pair].push_back(number);
    });
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (pairs[i].count == 0) continue;
      const std::uint64_t key = pair_key(static_cast<std::int32_t>(i / n), static_cast<std::int32_t>(i % n));
      counts_[key] = pairs[i].count;
      queue_.push({pairs[i].count, key, std::move(words[i])});
    }
  }

  std::vector<Id> ids_;
  std::vector<Word> words_;
  std::int64_t bytes_ = 0;
  PairCounts counts_;
  PairQueue queue_;
  // Of the merge at hand: neighbours on either side by their ids, which ids there are, and the pairs that are new.
  std::vector<Neighbour> before_, after_;
  std::vector<std::int32_t> touched_before_, touched_after_;
  std::vector<PairQueue::Entry> won_;
};

/// Tokens of more bytes are not made; only texts of one sign repeated come near.
inline constexpr std::size_t longest_learned_token = std::size_t{1} << 16;

/// Throws unless `special` can be special tokens of a tokenizer that is to be learned.
inline void expect_special_tokens(const std::vector<std::string>& special) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& token : special) {
    const std::string name = "the special token '" + printable(token) + "'";
    if (token.empty()) throw Error("a special token is empty: give it a text such as <|endoftext|>");
    if (first_utf8_fault(token)) throw Error(name + " is not UTF-8: give it another text");
    if (Utf8Decoder decoder; token.size() <= 4) {
      std::size_t characters = 0;
      for (const char c : token)
        characters += decoder.feed(static_cast<unsigned char>(c)) == Utf8Decoder::State::complete;
      if (characters == 1) throw Error(name + " is a single character, which text may hold: give it a longer one");
    }
    if (!seen.insert(token).second) throw Error(name + " is given twice: give it once");
  }
}

/// Learns a tokenizer. Ids: the special tokens, the 256 bytes (those that stand for themselves in tokenizer files
/// first), then a token for each merge. It has fewer tokens than asked for where the words are all whole before that.
///
/// Merges are learned by greatest count, of equal ones the smaller ids first, and depend on the words and their counts
/// alone. One that would spell a special token is left out. No two merges spell the same: what lies between two borders
/// that no merge has crossed so far was merged as if it stood alone. Sources: Sennrich et al. 2016 (arXiv:1508.07909)
/// algorithm 1; the order of equal counts is that of huggingface/tokenizers, models/bpe/trainer.rs.
inline LearnedTokenizer train_bpe(WordCounts words, const BpeOptions& options, const BpeProgress& progress = {}) {
  expect_special_tokens(options.special);
  const std::size_t first = options.special.size();
  const std::size_t least = first + 256;
  if (options.vocab_size < 0 || static_cast<std::size_t>(options.vocab_size) < least) {
    throw Error(
        "a vocabulary of " + std::to_string(options.vocab_size) + " tokens is too small: 256 bytes" +
        (first == 0 ? "" : " and " + std::to_string(first) + (first == 1 ? " special token" : " special tokens")) +
        " need at least " + std::to_string(least));
  }
  const auto size = static_cast<std::size_t>(options.vocab_size);

  std::vector<std::string> tokens(first);
  tokens.reserve(size);
  std::array<std::int32_t, 256> byte_ids{};
  const auto stands_for_itself = [](std::size_t b) { return (b > 32 && b < 127) || (b > 160 && b != 173); };
  for (const bool itself : {true, false}) {
    for (std::size_t b = 0; b < 256; ++b) {
      if (stands_for_itself(b) != itself) continue;
      byte_ids[b] = static_cast<std::int32_t>(tokens.size());
      tokens.emplace_back(1, static_cast<char>(b));
    }
  }

  std::vector<Merge> merges;
  std::int64_t text_bytes = 0, text_tokens = 0;
  const auto learn = [&](auto merging) {
    const std::unordered_set<std::string_view> special(options.special.begin(), options.special.end());
    PairQueue::Entry due;
    while (tokens.size() < size && merging.next(due)) {
      const std::int32_t left = pair_left(due.key), right = pair_right(due.key);
      std::string text = tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
      if (text.size() > longest_learned_token || special.contains(text)) continue;
      merges.push_back({left, right, static_cast<std::int32_t>(tokens.size())});
      tokens.push_back(std::move(text));
      merging.merge(due, merges.back().merged);
      if (progress) progress(static_cast<std::int64_t>(tokens.size()), options.vocab_size);
    }
    text_bytes = merging.bytes(), text_tokens = merging.tokens();
  };
  if (size <= std::size_t{1} << 16) {
    learn(BpeMerging<std::uint16_t>(std::move(words), byte_ids));
  } else {
    learn(BpeMerging<std::uint32_t>(std::move(words), byte_ids));
  }

  std::vector<SpecialToken> special;
  for (std::size_t i = 0; i < first; ++i) special.push_back({options.special[i], static_cast<std::int32_t>(i)});
  return {Tokenizer(std::move(tokens), std::move(merges), options.pattern, std::move(special)), text_bytes,
          text_tokens};
}

}  // namespace tinygpt

// Texts to learn a tokenizer from: however they come in pieces, the merges are those of counting all pairs anew each
// time, and the tokenizer gives the texts back.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/data/bpe_trainer.hpp>
#include <tinygpt/data/word_counter.hpp>

using namespace tinygpt;

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

using Ids = std::vector<std::int32_t>;

/// The definition: the most frequent pair, of equal ones the smaller.
std::vector<std::pair<std::int32_t, std::int32_t>> merges_by_definition(std::map<Ids, std::int64_t> words, int first_id,
                                                                        int vocab_size) {
  std::vector<std::pair<std::int32_t, std::int32_t>> merges;
  for (std::int32_t id = first_id; id < vocab_size; ++id) {
    std::map<std::pair<std::int32_t, std::int32_t>, std::int64_t> counts;
    for (const auto& [word, count] : words) {
      for (std::size_t i = 1; i < word.size(); ++i) counts[{word[i - 1], word[i]}] += count;
    }
    std::pair<std::int32_t, std::int32_t> best;
    std::int64_t most = 0;
    for (const auto& [pair, count] : counts) {
      if (count > most) best = pair, most = count;
    }
    if (most == 0) break;
    merges.push_back(best);
    std::map<Ids, std::int64_t> merged;
    for (const auto& [word, count] : words) {
      Ids ids;
      for (std::size_t i = 0; i < word.size(); ++i) {
        const bool here = i + 1 < word.size() && word[i] == best.first && word[i + 1] == best.second;
        ids.push_back(here ? id : word[i]);
        i += here;
      }
      merged[ids] += count;
    }
    words = std::move(merged);
  }
  return merges;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3 || size > 600) return 0;
  const Pattern pattern = data[0] % 2 == 0 ? Pattern::gpt2 : Pattern::gpt4;
  const int vocab_size = 257 + data[1];
  const std::size_t piece = data[2] % 16u + 1;
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);

  // Two texts: a word does not go on from the first into the second.
  const std::string_view texts[] = {text.substr(0, text.size() / 2), text.substr(text.size() / 2)};
  WordCounter counter(pattern, 1);
  std::map<std::string, std::int64_t> words;
  for (const std::string_view t : texts) {
    for (std::size_t at = 0; at < t.size(); at += piece) counter.add(t.substr(at, piece));
    counter.end_text();
    std::size_t bytes = 0;
    for_each_word(pattern, t, [&](std::string_view word) {
      ++words[std::string(word)];
      bytes += word.size();
    });
    expect(bytes == t.size());
  }
  const LearnedTokenizer learned = train_bpe(counter.finish(), {vocab_size, pattern, {"<|end|>"}});
  const Tokenizer& tokenizer = learned.tokenizer;

  std::map<Ids, std::int64_t> rows;
  for (const auto& [word, count] : words) {
    Ids ids;
    for (const char c : word) ids.push_back(tokenizer.vocabulary().id_of_byte(c));
    rows[ids] += count;
  }
  const auto expected = merges_by_definition(std::move(rows), 257, vocab_size);
  const auto& merges = tokenizer.vocabulary().merges();
  // A merge that would spell the special token is left out, and what follows may be otherwise.
  if (text.find("<|end|>") == std::string_view::npos) {
    expect(merges.size() == expected.size());
    for (std::size_t i = 0; i < merges.size(); ++i) {
      expect(merges[i].left == expected[i].first && merges[i].right == expected[i].second);
    }
  }
  std::int64_t tokens = 0;
  for (const std::string_view t : texts) {
    const auto ids = tokenizer.encode(t);
    expect(tokenizer.decode(ids) == t);
    for (const std::int32_t id : ids) expect(!tokenizer.is_special(id));
    tokens += static_cast<std::int64_t>(ids.size());
  }
  expect(learned.bytes == static_cast<std::int64_t>(text.size()) && learned.tokens == tokens);
  return 0;
}

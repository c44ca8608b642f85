#include <catch.hpp>

#include <tinygpt/data/tokenizer.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

/// The 256 bytes, then a token for each merge, whose two sides are given as text.
Tokenizer merging(const std::vector<std::pair<std::string, std::string>>& pairs, Pattern pattern = Pattern::none,
                  std::vector<SpecialToken> special = {}, WholeWords whole_words = WholeWords::merged) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  std::vector<Merge> merges;
  const auto id_of = [&](const std::string& text) {
    const auto found = std::find(tokens.begin(), tokens.end(), text);
    if (found == tokens.end()) tokens.push_back(text);
    return static_cast<std::int32_t>(std::find(tokens.begin(), tokens.end(), text) - tokens.begin());
  };
  for (const auto& [left, right] : pairs) merges.push_back({id_of(left), id_of(right), id_of(left + right)});
  for (auto& s : special) {
    if (s.id == 0) s.id = static_cast<std::int32_t>(tokens.size()), tokens.emplace_back();
  }
  return Tokenizer(tokens, merges, pattern, special, whole_words);
}

/// What merging is by definition: the lowest rank anywhere, of equal ones the leftmost, until there is none.
Ids merged_by_definition(const Tokenizer& tokenizer, std::string_view word) {
  Ids ids;
  for (const char c : word) ids.push_back(tokenizer.vocabulary().id_of_byte(c));
  for (;;) {
    const auto& merges = tokenizer.vocabulary().merges();
    std::size_t best = merges.size(), where = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      for (std::size_t r = 0; r < best; ++r) {
        if (merges[r].left == ids[i] && merges[r].right == ids[i + 1]) best = r, where = i;
      }
    }
    if (best == merges.size()) return ids;
    ids[where] = merges[best].merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

/// Numbers that are the same everywhere.
struct Numbers {
  std::uint64_t state = 1;
  std::size_t below(std::size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>((state >> 33) % n);
  }
};

std::string shown(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  for (const auto id : ids) text += std::string(text.empty() ? "" : "|") + std::string(tokenizer.decode(id));
  return text;
}

}  // namespace

TEST_CASE("characters are numbered by the bytes of the corpus in their order, and back") {
  const auto tokenizer = Tokenizer::characters("hello \xC3\xA9");
  CHECK(tokenizer.size() == 7);
  CHECK(tokenizer.decode(Ids{0, 1, 2, 3, 4, 5, 6}) == " ehlo\xA9\xC3");
  CHECK(tokenizer.encode("hole") == Ids{2, 4, 3, 1});
  CHECK(tokenizer.decode(tokenizer.encode("hello \xC3\xA9")) == "hello \xC3\xA9");
  CHECK(tokenizer.decode(7).empty());
  CHECK(tokenizer.decode(-1).empty());
  CHECK(tokenizer.description() == "characters, 7 tokens");
  CHECK_FALSE(tokenizer.end_of_text());
}

TEST_CASE("each byte is the token of its number") {
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  const auto tokenizer = Tokenizer::bytes();
  const Ids ids = tokenizer.encode(every);
  REQUIRE(ids.size() == 256);
  for (std::int32_t i = 0; i < 256; ++i) CHECK(ids[static_cast<std::size_t>(i)] == i);
  CHECK(tokenizer.decode(ids) == every);
  CHECK(tokenizer.description() == "bytes, 256 tokens");
  CHECK(tokenizer == Tokenizer::characters(every));
}

TEST_CASE("an unseen character is named with its place, counted in characters, and nothing is encoded") {
  const auto tokenizer = Tokenizer::characters("abc\u00e9");
  CHECK_THROWS_WITH(tokenizer.encode("abx"), Contains("'x' at position 3"));
  CHECK_THROWS_WITH(tokenizer.encode("\u00e9\u00e9\u20ac"), Contains("'\u20ac' at position 3"));
  CHECK_THROWS_WITH(tokenizer.encode("a\x1B"), Contains("'\\x1b' at position 2"));
  Encoder encoder(tokenizer);
  Ids ids{7};
  CHECK_THROWS_AS(encoder.encode("abx", ids), Error);
  CHECK(ids == Ids{7});
}

TEST_CASE("a tokenizer with more tokens than the model has room for is refused") {
  CHECK_NOTHROW(expect_room(Tokenizer::characters("abcd"), 4));
  CHECK_THROWS_WITH(expect_room(Tokenizer::characters("abcd"), 3),
                    Contains("4 different bytes") && Contains("Vocab<3>"));
  CHECK_THROWS_WITH(expect_room(merging({{"a", "b"}}), 256), Contains("257 tokens") && Contains("Vocab<256>"));
}

TEST_CASE("the merge that comes first in the list goes first, and of equal ones the leftmost") {
  const auto tokenizer = merging({{"a", "b"}, {"b", "c"}, {"ab", "c"}, {"a", "a"}});
  CHECK(shown(tokenizer, tokenizer.encode("abc")) == "abc");
  CHECK(shown(tokenizer, tokenizer.encode("bcabc")) == "bc|abc");
  CHECK(shown(tokenizer, tokenizer.encode("aaa")) == "aa|a");
  CHECK(shown(tokenizer, tokenizer.encode("aab")) == "a|ab");
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("short and long words are merged as the definition says, also where the list is in an odd order") {
  // A merge may come before those that make its parts, so that a lower rank comes up again and again; and two merges
  // may make the same token, so that the pairs of one rank come up in no order.
  Numbers random;
  for (int list = 0; list < 400; ++list) {
    const std::size_t letters = 1 + random.below(3);
    std::vector<std::string> known{"a", "b", "c"};
    known.resize(letters);
    std::vector<std::pair<std::string, std::string>> pairs;
    for (int tries = 0; tries < 40; ++tries) {
      const std::pair<std::string, std::string> pair{known[random.below(known.size())],
                                                     known[random.below(known.size())]};
      const std::string merged = pair.first + pair.second;
      if (merged.size() > 6 || std::find(pairs.begin(), pairs.end(), pair) != pairs.end()) continue;
      if (std::find(known.begin(), known.end(), merged) == known.end()) known.push_back(merged);
      pairs.push_back(pair);
    }
    for (std::size_t i = pairs.size(); list % 4 != 0 && i > 1; --i) std::swap(pairs[i - 1], pairs[random.below(i)]);
    const auto tokenizer = merging(pairs);
    for (const std::size_t length : {1u, 2u, 3u, 7u, 20u, 63u, 64u, 65u, 66u, 100u, 150u}) {
      std::string word;
      while (word.size() < length) word += "abc"[random.below(letters)];
      REQUIRE(shown(tokenizer, tokenizer.encode(word)) == shown(tokenizer, merged_by_definition(tokenizer, word)));
    }
  }
}

TEST_CASE("an encoder that has seen words gives what a new one gives") {
  const auto tokenizer =
      merging({{"t", "h"}, {"th", "e"}, {" ", "the"}, {"i", "n"}, {"o", "f"}, {" ", "of"}, {" ", " "}}, Pattern::gpt2);
  Numbers random;
  std::string text;
  const std::string parts[] = {" the",
                               " of",
                               "in",
                               " a",
                               "   ",
                               std::string("\0", 1),
                               "q\xFF",
                               " fourteenletter",
                               " fifteenletters",
                               " sixteen-letters",
                               " thethethethethethe",
                               "the",
                               " \u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u0439",
                               std::string(63, 'x'),
                               std::string(62, 'y'),
                               "\n"};
  while (text.size() < 200'000) text += parts[random.below(std::size(parts))];
  Encoder encoder(tokenizer);
  for (int time = 0; time < 3; ++time) {
    Ids ids{-5};
    encoder.encode(text, ids);
    Ids expected{-5};
    for_each_word(Pattern::gpt2, text, [&](std::string_view word) {
      const Ids w = merged_by_definition(tokenizer, word);
      expected.insert(expected.end(), w.begin(), w.end());
    });
    CHECK(ids == expected);
    CHECK(tokenizer.decode(std::span(ids).subspan(1)) == text);
    text = text.substr(text.size() / 2 + 1);
  }
}

TEST_CASE("a special token has an id and is never given by ordinary text") {
  const auto tokenizer = merging({{"<", "|"}, {"|", ">"}}, Pattern::gpt2, {{"<|endoftext|>", 0}});
  REQUIRE(tokenizer.end_of_text() == tokenizer.size() - 1);
  CHECK(tokenizer.is_special(tokenizer.size() - 1));
  CHECK_FALSE(tokenizer.is_special(0));
  CHECK_FALSE(tokenizer.is_special(-1));
  CHECK_FALSE(tokenizer.is_special(tokenizer.size()));
  CHECK(tokenizer.decode(tokenizer.size() - 1) == "<|endoftext|>");
  const Ids ids = tokenizer.encode("a<|endoftext|>b");
  CHECK(tokenizer.decode(ids) == "a<|endoftext|>b");
  CHECK(std::find(ids.begin(), ids.end(), tokenizer.size() - 1) == ids.end());
}

TEST_CASE("a word that is a token is that token at once where the tokenizer says so") {
  // No merge leads to "abc".
  std::vector<std::string> tokens{"a", "b", "c", "ab", "bc", "abc"};
  const std::vector<Merge> merges{{1, 2, 4}, {0, 1, 3}};
  const Tokenizer merged(tokens, merges, Pattern::none, {});
  const Tokenizer at_once(tokens, merges, Pattern::none, {}, WholeWords::at_once);
  CHECK(merged.encode("abc") == Ids{0, 4});
  CHECK(at_once.encode("abc") == Ids{5});
  CHECK(at_once.encode("abcc") == Ids{0, 4, 2});
  CHECK(merged.hash() != at_once.hash());
}

TEST_CASE("a hash knows every part of a tokenizer, and stays what it was") {
  const auto hash = [](auto... parts) { return merging(parts...).hash(); };
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  const Pairs pairs{{"a", "b"}, {"b", "c"}}, swapped{{"b", "c"}, {"a", "b"}};
  CHECK(hash(pairs) == hash(pairs));
  CHECK(hash(pairs) != hash(swapped));
  CHECK(hash(pairs) != hash(pairs, Pattern::gpt2));
  CHECK(hash(pairs, Pattern::gpt4) != hash(pairs, Pattern::gpt2));
  using Special = std::vector<SpecialToken>;
  CHECK(hash(pairs, Pattern::gpt2, Special{{"<s>", 0}}) != hash(pairs, Pattern::gpt2, Special{{"<t>", 0}}));
  CHECK(hash(pairs, Pattern::gpt2, Special{{"<s>", 0}}) != hash(pairs, Pattern::gpt2));
  // Models and data carry it: another value would make them strangers to each other.
  CHECK(hash_text(Tokenizer::bytes().hash()) == "caee26b20caca4ea");
  CHECK(hash_text(hash(pairs, Pattern::gpt2, Special{{"<s>", 0}})) == "9c2d43c0d809f492");
}

TEST_CASE("what does not fit together is no tokenizer, in one sentence") {
  const std::vector<std::string> good{"a", "b", "c", "ab", ""};
  const std::vector<Merge> merges{{0, 1, 3}};
  const auto refused = [](const std::vector<std::string>& tokens, const std::vector<Merge>& m,
                          const std::vector<SpecialToken>& special, const std::string& sentence) {
    INFO(sentence);
    CHECK_THROWS_WITH(Tokenizer(tokens, m, Pattern::none, special), Contains(sentence));
  };
  CHECK_NOTHROW(Tokenizer(good, merges, Pattern::none, {{"<s>", 4}}));
  refused({}, {}, {}, "1 to 16777216 tokens, not 0");
  refused({"<s>"}, {}, {{"<s>", 0}}, "at least one token that is text");
  refused({"a", "b", "a"}, {}, {}, "the tokens 0 and 2 are both 'a'");
  refused(good, {{0, 1, 5}}, {}, "merge 1 names the token 5");
  refused(good, {{0, -1, 3}}, {}, "merge 1 names the token -1");
  refused(good, {{0, 1, 3}, {1, 0, 3}}, {}, "merge 2 makes 'ab' of 'b' and 'a'");
  refused(good, {{0, 1, 2}}, {}, "merge 1 makes 'c' of 'a' and 'b'");
  refused(good, {{0, 4, 0}}, {}, "merge 1 makes 'a' of 'a' and ''");
  refused(good, {{0, 1, 3}, {0, 1, 3}}, {}, "merge 2 is of the same two tokens");
  refused(good, merges, {{"ab", 3}}, "special token 'ab', which ordinary text must never give");
  refused(good, merges, {{"", 4}}, "a special token is empty");
  refused(good, merges, {{"\xFF", 4}}, "not UTF-8");
  refused(good, merges, {{"<s>", 5}}, "'<s>' has the id 5, but there are only 5 tokens");
  refused(good, merges, {{"<s>", -1}}, "'<s>' has the id -1");
  refused(good, merges, {{"<s>", 2}}, "has the id of the token 'c'");
  refused(good, merges, {{"<s>", 4}, {"<t>", 4}}, "has the id of another");
  refused({"a", "", ""}, {}, {{"<s>", 1}, {"<s>", 2}}, "is there twice");
}

TEST_CASE("the pairs of one rank are given from left to right, also those that come while they are read") {
  PairBucket bucket;
  for (const std::uint32_t position : {7u, 3u, 9u, 3u, 20u}) bucket.add(position);
  CHECK(bucket.take() == 3);
  CHECK(bucket.take() == 3);
  for (const std::uint32_t position : {12u, 8u, 30u, 1u}) bucket.add(position);
  for (const std::uint32_t expected : {1u, 7u, 8u, 9u, 12u, 20u, 30u}) {
    REQUIRE_FALSE(bucket.empty());
    CHECK(bucket.take() == expected);
  }
  CHECK(bucket.empty());
  bucket.clear();
  for (const std::uint32_t position : {2u, 1u}) bucket.add(position);
  CHECK(bucket.take() == 1);
  CHECK(bucket.take() == 2);
}

#include <catch.hpp>

#include <map>
#include <random>
#include <string>
#include <vector>

#include <tinygpt/data/bpe_trainer.hpp>
#include <tinygpt/data/word_boundary.hpp>
#include <tinygpt/data/word_counter.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

using Counts = std::map<std::string, std::int64_t>;

Counts drained(WordCounts counts) {
  Counts all;
  counts.drain([&](std::string_view word, std::int64_t count) { all[std::string(word)] += count; });
  return all;
}

Counts counted(std::string_view text, Pattern pattern) {
  Counts all;
  for_each_word(pattern, text, [&](std::string_view word) { ++all[std::string(word)]; });
  return all;
}

/// A text in which words, line ends, spaces and broken bytes meet in every way.
std::string mixed_text(std::size_t pieces, unsigned seed) {
  const std::string choices[] = {" ",      "  ",           "\n",         "\r\n",   "\t",       "\u3000", "a",
                                 "the",    "'s",           "'l",         "'S",     ".",        "!?",     "12",
                                 "3456",   "\u00e9",       "\x80",       "\xE2",   "\xC5\xBF", "'",      "-",
                                 "\u4e2d", "\u3002\u6587", "\U0001F600", "\u2028", "\xF0\x9F"};
  std::mt19937 random(seed);
  std::string text;
  for (std::size_t i = 0; i < pieces; ++i) text += choices[random() % std::size(choices)];
  return text;
}

Tokenizer trained(std::string_view text, const BpeOptions& options) {
  WordCounter counter(options.pattern, 1);
  counter.add(text);
  return train_bpe(counter.finish(), options).tokenizer;
}

}  // namespace

TEST_CASE("a text cut at a word boundary has the words of the whole") {
  std::size_t boundaries = 0;
  for (unsigned seed = 0; seed < 3000; ++seed) {
    const std::string text = mixed_text(12, seed);
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (!is_word_boundary(text, at)) continue;
      ++boundaries;
      for (const auto pattern : {Pattern::gpt2, Pattern::gpt4}) {
        std::vector<std::string_view> whole, parts;
        for_each_word(pattern, text, [&](std::string_view word) { whole.push_back(word); });
        const std::string_view view(text);
        for_each_word(pattern, view.substr(0, at), [&](std::string_view word) { parts.push_back(word); });
        for_each_word(pattern, view.substr(at), [&](std::string_view word) { parts.push_back(word); });
        CAPTURE(text, at);
        if (whole != parts) FAIL("other words");
      }
    }
  }
  CHECK(boundaries > 5'000);
  CHECK(last_word_boundary("In the beginning God created") == 20);
  CHECK(last_word_boundary("\u4e2d\u6587\u3002\u4e2d\u6587") == 6);
  CHECK(last_word_boundary("ACGT\nACGT\nACGTACGT") == 10);
  CHECK(last_word_boundary("ACGT\nACGT\nACGTACGT", 10) == std::string_view::npos);
  CHECK(last_word_boundary(std::string(100, 'a')) == std::string_view::npos);
  CHECK(last_word_boundary("") == std::string_view::npos);
}

TEST_CASE("words are counted the same in any pieces and by any number of threads") {
  const std::string text = mixed_text(900'000, 1);
  for (const auto pattern : {Pattern::gpt2, Pattern::gpt4, Pattern::none}) {
    const Counts expected = counted(text, pattern);
    for (const int threads : {1, 2, 5}) {
      for (const std::size_t piece : {std::size_t{1'000'003}, std::size_t{777}, text.size()}) {
        WordCounter counter(pattern, threads);
        for (std::size_t at = 0; at < text.size(); at += piece) counter.add(std::string_view(text).substr(at, piece));
        CHECK((drained(counter.finish()) == expected));
      }
    }
  }
}

TEST_CASE("words do not go on from one text into the next") {
  WordCounter counter(Pattern::gpt2, 2);
  for (int i = 0; i < 1000; ++i) {
    counter.add("ab");
    counter.add("c ");
    counter.end_text();
    counter.end_text();
    counter.add("d");
    counter.end_text();
  }
  CHECK((drained(counter.finish()) == Counts{{"abc", 1000}, {" ", 1000}, {"d", 1000}}));
}

TEST_CASE("a word of many megabytes is counted, and does not take more than linear time") {
  WordCounter counter(Pattern::gpt2, 2);
  const std::string piece(1 << 16, 'a');
  for (int i = 0; i < 400; ++i) counter.add(piece);
  WordCounts counts = counter.finish();
  CHECK(counts.size() == 1);
  CHECK(counts.bytes() == 400u << 16);
  const Tokenizer tokenizer = train_bpe(std::move(counts), {1000, Pattern::gpt2, {}}).tokenizer;
  CHECK(tokenizer.vocabulary().merges().size() == 16);  // each twice the last, to 65,536 bytes
}

TEST_CASE("a table of word counts keeps every word, however many there are") {
  WordCounts counts, more;
  Counts expected;
  for (int i = 0; i < 50'000; ++i) {
    const std::string word(static_cast<std::size_t>(i % 23), static_cast<char>(i));
    const std::string other = std::to_string(i);
    counts.add(word), ++expected[word];
    more.add(other, i + 1), expected[other] += i + 1;
  }
  counts.take(std::move(more));
  CHECK(counts.size() == expected.size());
  CHECK((drained(std::move(counts)) == expected));
}

TEST_CASE("a trained tokenizer has the special tokens first, then the bytes, then the merges") {
  const Tokenizer t = trained("low low low lower lowest", {262, Pattern::gpt2, {"<|endoftext|>", "<|user|>"}});
  REQUIRE(t.size() == 262);
  CHECK(t.end_of_text() == 0);
  CHECK(t.decode(1) == "<|user|>");
  CHECK(t.decode(2) == "!");
  CHECK(t.decode(2 + 255) == "\xAD");
  // Of equal counts the smaller ids: l and o stand before o and w.
  CHECK(t.decode(258) == "lo");
  CHECK(t.decode(259) == "low");
  CHECK(t.decode(260) == " low");
  CHECK(t.decode(261) == " lowe");
  CHECK(t.encode(" lower") == std::vector<std::int32_t>{261, 2 + 'r' - '!'});
  CHECK(t.vocabulary().pattern() == Pattern::gpt2);
}

TEST_CASE("a text without enough to merge gives fewer tokens than asked for") {
  CHECK(trained("", {1000, Pattern::gpt4, {}}).size() == 256);
  CHECK(trained("a", {1000, Pattern::gpt2, {}}).size() == 256);
  CHECK(trained(std::string(3, '\0'), {1000, Pattern::gpt2, {}}).size() == 258);
  CHECK(trained("abcd", {70'000, Pattern::gpt2, {}}).size() == 259);
  CHECK(trained("\xFF\xFF \x80\xFF\xFF", {300, Pattern::gpt2, {}}).decode(256) == "\xFF\xFF");
}

TEST_CASE("ids of more than 16 bits are learned as those of fewer") {
  const std::string text = mixed_text(20'000, 3);
  const Tokenizer small = trained(text, {65'536, Pattern::gpt4, {}}),
                  large = trained(text, {65'537, Pattern::gpt4, {}});
  CHECK(small.size() > 1000);
  CHECK(small == large);
}

TEST_CASE("no merge spells a special token") {
  const Tokenizer t = trained("the the the", {300, Pattern::gpt2, {"the"}});
  for (const std::int32_t id : t.encode(" the the")) CHECK_FALSE(t.is_special(id));
}

TEST_CASE("a vocabulary or special tokens that cannot be are refused") {
  CHECK_THROWS_WITH(trained("a", {256, Pattern::gpt2, {"<|endoftext|>"}}), Contains("need at least 257"));
  CHECK_THROWS_WITH(trained("a", {-1, Pattern::gpt2, {}}), Contains("need at least 256"));
  CHECK_THROWS_WITH(trained("a", {300, Pattern::gpt2, {"<a>", "<a>"}}), Contains("given twice"));
  CHECK_THROWS_WITH(trained("a", {300, Pattern::gpt2, {""}}), Contains("is empty"));
  CHECK_THROWS_WITH(trained("a", {300, Pattern::gpt2, {"\u00e9"}}), Contains("a single character"));
  CHECK_THROWS_WITH(trained("a", {300, Pattern::gpt2, {"<\xFF>"}}), Contains("not UTF-8"));
}

TEST_CASE("training tells how far it has come, and ends when it is told to") {
  WordCounter counter(Pattern::gpt2, 1);
  counter.add("some words are here, some are not");
  std::vector<std::int64_t> done;
  struct Enough {};
  const auto progress = [&](std::int64_t tokens, std::int64_t total) {
    CHECK(total == 270);
    done.push_back(tokens);
    if (done.size() == 3) throw Enough();
  };
  CHECK_THROWS_AS(train_bpe(counter.finish(), {270, Pattern::gpt2, {}}, progress), Enough);
  CHECK((done == std::vector<std::int64_t>{257, 258, 259}));
}

TEST_CASE("what a trained tokenizer makes of its own text is known without encoding it") {
  const std::string text = mixed_text(5'000, 9);
  WordCounter counter(Pattern::gpt4, 1);
  counter.add(text);
  const LearnedTokenizer learned = train_bpe(counter.finish(), {500, Pattern::gpt4, {}});
  CHECK(learned.bytes == static_cast<std::int64_t>(text.size()));
  CHECK(learned.tokens == static_cast<std::int64_t>(learned.tokenizer.encode(text).size()));
}

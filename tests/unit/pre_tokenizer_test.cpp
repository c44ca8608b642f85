#include <catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <tinygpt/data/pre_tokenizer.hpp>

using namespace tinygpt;

namespace {

using Words = std::vector<std::string>;

Words words_of(Pattern pattern, std::string_view text) {
  Words found;
  for_each_word(pattern, text, [&](std::string_view word) { found.emplace_back(word); });
  return found;
}

std::string repeated(std::string_view piece, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += piece;
  return text;
}

}  // namespace

TEST_CASE("Unicode's classes are those of version 15.0.0") {
  CHECK(std::string(unicode_tables::version) == "15.0.0");
  int letters = 0, numbers = 0, spaces = 0;
  for (char32_t c = 0; c <= 0x110001; ++c) {
    letters += is_letter(c), numbers += is_number(c), spaces += is_space(c);
  }
  CHECK(letters == unicode_tables::letters);
  CHECK(numbers == unicode_tables::numbers);
  CHECK(spaces == unicode_tables::spaces);
  for (const char32_t c : {U'a', U'Z', U'\u00aa', U'\u017f', U'\u4e00', U'\u9fff', U'\U000323af'}) CHECK(is_letter(c));
  for (const char32_t c : {U'0', U'9', U'\u00bd', U'\u2167', U'\u3007', U'\U0001d7ff'}) CHECK(is_number(c));
  for (const char32_t c : {U' ', U'\t', U'\r', U'\u0085', U'\u00a0', U'\u2028', U'\u3000'}) CHECK(is_space(c));
  for (const char32_t c : {U'\0', U'\x1c', U'\x1f', U'\u0301', U'\u200b', U'\ufeff', U'\U0001f600', U'\U0010ffff'}) {
    CHECK(character_class(c) == CharacterClass::other);
  }
  CHECK(character_class(0x110000) == CharacterClass::other);
  CHECK(character_class(0xffffffff) == CharacterClass::other);
}

TEST_CASE("the tables of Unicode are what the script makes of Debian's unicode-data") {
  const int status = std::system("python3 '" TINYGPT_SOURCE_DIR "/scripts/unicode-tables.py' --check");
  if (WEXITSTATUS(status) == 77) {
    WARN("skipped: apt-get install unicode-data to compare the tables with their source");
    return;
  }
  CHECK(status == 0);
}

TEST_CASE("the bytes of ASCII have the classes of their code points") {
  for (char32_t c = 0; c < 0x80; ++c) {
    CHECK(words::byte_kinds[c] == static_cast<std::uint8_t>(character_class(c)));
  }
}

TEST_CASE("GPT-2's words keep one space before them, and contractions apart") {
  CHECK(words_of(Pattern::gpt2, "Hello world, it's 2026!\n\n  I'LL go.  ") ==
        Words{"Hello", " world", ",", " it", "'s", " 2026", "!", "\n\n ", " I", "'", "LL", " go", ".", "  "});
}

TEST_CASE("GPT-4's words take any sign before letters, three digits, and the line ends after signs") {
  CHECK(words_of(Pattern::gpt4, "Hello world, it'S 12345!\n\n  I'LL go.\t(end)\r\n  ") ==
        Words{"Hello", " world", ",", " it", "'S", " ", "123", "45", "!\n\n", " ", " I", "'LL", " go", ".", "\t",
              "(end", ")\r\n", "  "});
  CHECK(words_of(Pattern::gpt4, "a \n \n  b") == Words{"a", " \n \n", " ", " b"});
}

TEST_CASE("without a pattern the text is one word") {
  CHECK(words_of(Pattern::none, "two words") == Words{"two words"});
  for (const auto pattern : {Pattern::none, Pattern::gpt2, Pattern::gpt4}) CHECK(words_of(pattern, "").empty());
}

TEST_CASE("bytes that are not UTF-8 are signs, and none is lost") {
  // A sequence cut short, a byte that begins nothing, and a surrogate.
  CHECK(words_of(Pattern::gpt2, "a\xE2\x82 b\xFF") == Words{"a", "\xE2\x82", " b", "\xFF"});
  CHECK(words_of(Pattern::gpt4, "\xED\xA0\x80x\x80y") == Words{"\xED\xA0\x80", "x", "\x80y"});
  std::uint32_t state = 1;
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int n = i % 40; n > 0; --n) {
      state = state * 1664525 + 1013904223;
      const char* const often = " \n\r'sSlLrReE1\xC5\xBF\xE2\x80\xA8";
      text += (state >> 9) % 3 == 0 ? static_cast<char>(state >> 24) : often[(state >> 24) % 18];
    }
    for (const auto pattern : {Pattern::none, Pattern::gpt2, Pattern::gpt4}) {
      std::string joined;
      for (const auto& word : words_of(pattern, text)) {
        REQUIRE_FALSE(word.empty());
        joined += word;
      }
      REQUIRE(joined == text);
    }
  }
}

TEST_CASE("no text takes more than linear time to cut") {
  const std::string pieces[] = {"a",  " ",   "\n",     " \n",  "\t ",        "'",    "'l",   "1",
                                " !", "!\n", "\u3000", " \r ", "\U0001F600", "\x80", "\xE2", "\u4e2d"};
  for (const auto& piece : pieces) {
    for (const auto pattern : {Pattern::gpt2, Pattern::gpt4}) {
      const std::string text = repeated(piece, 4'000'000) + "x";
      const std::clock_t begin = std::clock();
      std::size_t bytes = 0;
      for_each_word(pattern, text, [&](std::string_view word) { bytes += word.size(); });
      CHECK(bytes == text.size());
      CHECK(std::clock() - begin < 2 * CLOCKS_PER_SEC);  // quadratic: hours
    }
  }
}

TEST_CASE("a run of letters ends at any other byte, wherever it stands") {
  for (int b = 0; b < 0x80; ++b) {
    const char byte = static_cast<char>(b);
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    for (std::size_t at = 0; at < 20; ++at) {
      INFO(b << " at " << at);
      const std::string before(at, "kZaz"[at % 4]), text = before + byte + "AzZaAzZaAzZaAzZaAzZaAz";
      const std::string first = words_of(Pattern::gpt4, "." + text)[0];
      CHECK(first.starts_with("." + before));
      if (at > 0) CHECK((first.size() == text.size() + 1) == letter);
      if (at > 0 && !letter) CHECK(first.size() == at + 1);
    }
  }
}

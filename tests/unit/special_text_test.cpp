// Special tokens from a text: never by accident, and where they are allowed the first and longest name.
#include <catch.hpp>

#include <string>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>

using namespace tinygpt;
using Ids = std::vector<std::int32_t>;

namespace {

/// Bytes, the merge "ab", and special tokens of which some begin like others.
Tokenizer with_special() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  tokens.insert(tokens.end(), {"ab", "", "", "", ""});
  return Tokenizer(tokens, {{'a', 'b', 256}}, Pattern::gpt2,
                   {{"<|a|>", 257}, {"<|a|>b", 258}, {"<|", 259}, {"\u00e9nd", 260}});
}

}  // namespace

TEST_CASE("special tokens are found in a text only where they are allowed, the first and of those the longest") {
  const Tokenizer tokenizer = with_special();
  const auto allowed = [&](const std::string& text) { return tokenizer.encode(text, SpecialText::allowed); };
  for (const std::string text : {"<|a|>", "x<|a|>b<|", "\u00e9nd"}) {
    for (const std::int32_t id : tokenizer.encode(text)) CHECK_FALSE(tokenizer.is_special(id));
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
  CHECK(allowed("") == Ids{});
  CHECK(allowed("ab") == Ids{256});
  CHECK(allowed("<|a|>") == Ids{257});
  CHECK(allowed("<|a|>b") == Ids{258});
  CHECK(allowed("<|a|>a") == Ids{257, 'a'});
  CHECK(allowed("<|a|") == Ids{259, 'a', '|'});
  CHECK(allowed("<<|<") == Ids{'<', 259, '<'});
  CHECK(allowed("ab<|a|>ab") == Ids{256, 257, 256});
  CHECK(allowed("a\u00e9ndb") == Ids{'a', 260, 'b'});
  CHECK(allowed("a\xC3") == Ids{'a', 0xC3});
  for (const std::string text : {"ab<|a|>b ab\u00e9nd<|", "<|a|>b<|a|>bb"}) {
    CHECK(tokenizer.decode(allowed(text)) == text);
  }
}

TEST_CASE("the text on either side of a special token is cut by itself, and a fault leaves nothing behind") {
  const Tokenizer tokenizer = with_special();
  Encoder encoder(tokenizer);
  Ids out{7};
  encoder.encode("a<|a|>b", out, SpecialText::allowed);
  CHECK(out == Ids{7, 'a', 258});  // "<|a|>b" is longer
  std::vector<std::string> tokens{"a", ""};
  const Tokenizer small(tokens, {}, Pattern::none, {{"<s>", 1}});
  Encoder two(small);
  Ids kept{7};
  CHECK_THROWS_AS(two.encode("a<s>b", kept, SpecialText::allowed), Error);
  CHECK(kept == Ids{7});
  two.encode("a<s>a", kept, SpecialText::allowed);
  CHECK(kept == Ids{7, 0, 1, 0});
}

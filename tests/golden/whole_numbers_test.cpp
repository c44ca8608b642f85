#include <catch.hpp>

#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <tinygpt/data/pre_tokenizer.hpp>

using namespace tinygpt;

TEST_CASE("words end where Oniguruma ends them by GPT-4's pattern as tiktoken has spelled it since 0.6") {
  std::ifstream file(TINYGPT_SOURCE_DIR "/tests/golden/whole_numbers.json");
  const auto golden = nlohmann::json::parse(file);
  REQUIRE(golden.at("words").size() > 400);
  std::size_t other_than_gpt4 = 0;
  for (const auto& row : golden.at("words")) {
    const auto expected = row.get<std::vector<std::string>>();
    std::string text;
    for (const std::string& word : expected) text += word;
    const auto words = [&text](Pattern pattern) {
      std::vector<std::string> found;
      for_each_word(pattern, text, [&](std::string_view word) { found.emplace_back(word); });
      return found;
    };
    CAPTURE(text);
    CHECK(words(Pattern::gpt4_whole_numbers) == expected);
    other_than_gpt4 += words(Pattern::gpt4) != expected;
  }
  CHECK(other_than_gpt4 > 50);
}

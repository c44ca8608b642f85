#include <catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <tinygpt/data/pre_tokenizer.hpp>

using namespace tinygpt;

namespace {

std::vector<std::size_t> word_lengths(Pattern pattern, std::string_view text) {
  std::vector<std::size_t> lengths;
  for_each_word(pattern, text, [&](std::string_view word) { lengths.push_back(word.size()); });
  return lengths;
}

}  // namespace

TEST_CASE("words end where Python's regex ends them, with GPT-2's pattern and with GPT-4's") {
  const char* const other = std::getenv("TINYGPT_GOLDEN_WORDS");
  std::ifstream file(other != nullptr ? other : TINYGPT_SOURCE_DIR "/tests/golden/words.json");
  const auto golden = nlohmann::json::parse(file);
  REQUIRE(golden.at("cases").size() > 400);
  for (const auto& expected : golden.at("cases")) {
    const auto text = expected.at("text").get<std::string>();
    CAPTURE(text);
    if (word_lengths(Pattern::gpt2, text) != expected.at("gpt2").get<std::vector<std::size_t>>()) FAIL("gpt2");
    if (word_lengths(Pattern::gpt4, text) != expected.at("gpt4").get<std::vector<std::size_t>>()) FAIL("gpt4");
  }
}

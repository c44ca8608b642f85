#include <catch.hpp>

#include <tinygpt/io/tokenizer_files.hpp>

using namespace tinygpt;

TEST_CASE("tokenizers that Hugging Face's library has written give its ids on strings of many scripts") {
  // Made by encodings.py beside it, which also compares 10,000 strings with the library itself.
  const std::filesystem::path path = TINYGPT_SOURCE_DIR "/tests/golden/encodings.json";
  const Json golden = parse_json(read_small_file(path), path);
  REQUIRE(golden["tokenizers"].size() == 2);
  for (const Json& each : golden["tokenizers"]) {
    const Tokenizer tokenizer = tokenizer_from_json(each["tokenizer"], path);
    CHECK(tokenizer.size() == 500);
    INFO(tokenizer.description());
    const Tokenizer again = tokenizer_from_json(parse_json(tokenizer_json_text(tokenizer), path), path);
    CHECK(again == tokenizer);
    REQUIRE(each["encodings"].size() == 120);
    Encoder encoder(tokenizer);
    for (const Json& encoding : each["encodings"]) {
      const auto text = encoding["text"].get<std::string>();
      const auto expected = encoding["ids"].get<std::vector<std::int32_t>>();
      INFO(text);
      CHECK(tokenizer.encode(text) == expected);
      CHECK(tokenizer.decode(expected) == text);
    }
  }
}

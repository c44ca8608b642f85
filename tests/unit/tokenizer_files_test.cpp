#include <catch.hpp>

#include <cstdlib>
#include <filesystem>

#include <tinygpt/io/tokenizer_files.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

struct Scratch {
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "tinygpt-tokenizer-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw file_error("create", name, errno);
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

/// Where GPT-2's published vocab.bpe and encoder.json lie, with encodings.json made by a reference; they are not ours
/// to carry, so the tests that need them say so where they are absent.
std::filesystem::path gpt2_directory() {
  const char* const said = std::getenv("TINYGPT_GPT2_VOCABULARY");
  return said != nullptr ? said : TINYGPT_SOURCE_DIR "/../shared/data/gpt2";
}

Tokenizer from_text(const std::string& text) { return tokenizer_from_json(parse_json(text, "t.json"), "t.json"); }

}  // namespace

TEST_CASE("a tokenizer of the format before this one is read") {
  // Written by tinygpt 0.1 for the text "hello \u00e9".
  const std::string old = R"({
  "bytes": [
    32,
    101,
    104,
    108,
    111,
    169,
    195
  ],
  "format": "tinygpt-tokenizer",
  "format_version": 1,
  "type": "character"
}
)";
  CHECK(from_text(old) == Tokenizer::characters("hello \u00e9"));
  const Json good = Json::parse(old);
  const auto refused = [&](const char* field, const Json& value, const char* sentence) {
    INFO(field << " " << value.dump());
    Json json = good;
    if (value.is_null())
      json.erase(field);
    else
      json[field] = value;
    CHECK_THROWS_WITH(from_text(json.dump()), Contains("t.json") && Contains(sentence));
  };
  refused("format", "other", "no tokenizer");
  refused("format", 1, "'format' must be a text");
  refused("format_version", 2, "newer tinygpt");
  refused("type", "bpe", "must be character");
  refused("bytes", nullptr, "list of numbers");
  refused("bytes", "abc", "list of numbers");
  refused("bytes", Json::array(), "1 to 256");
  refused("bytes", Json::array({256}), "0 to 255");
  refused("bytes", Json::array({-1}), "0 to 255");
  refused("bytes", Json::array({1.0}), "0 to 255");
  refused("bytes", Json::array({"a"}), "0 to 255");
  refused("bytes", Json::array({1, 1}), "twice");
}

TEST_CASE("GPT-2's published vocabulary gives its published encodings") {
  const std::filesystem::path directory = gpt2_directory();
  if (!std::filesystem::exists(directory / "vocab.bpe")) {
    WARN("GPT-2's vocab.bpe is not here, so this test has not run: give its directory in TINYGPT_GPT2_VOCABULARY");
    return;
  }
  const Tokenizer tokenizer = load_tokenizer(directory);
  CHECK(tokenizer.size() == 50257);
  CHECK(tokenizer.end_of_text() == 50256);
  CHECK(tokenizer.description() == "byte-level BPE, 50,257 tokens, GPT-2's pattern");
  for (const Json& encoding : Json::parse(read_small_file(directory / "encodings.json"))) {
    const auto text = encoding["text"].get<std::string>();
    INFO(text);
    CHECK(tokenizer.encode(text) == encoding["ids"].get<Ids>());
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
  const Scratch scratch;
  for (const auto layout : {TokenizerFiles::tokenizer_json, TokenizerFiles::vocab_and_merges, TokenizerFiles::openai}) {
    const auto copy = scratch.path / std::to_string(static_cast<int>(layout));
    save_tokenizer(tokenizer, copy, layout);
    CHECK(load_tokenizer(copy) == tokenizer);
  }
}

#include <catch.hpp>
#include <counted_memory.hpp>
#include <scratch.hpp>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <limits>
#include <random>

#include <tinygpt/io/tokenizer_files.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

/// Where GPT-2's published vocab.bpe and encoder.json lie, with encodings.json made by a reference; they are not ours
/// to carry, so the tests that need them say so where they are absent.
std::filesystem::path gpt2_directory() {
  const char* const said = std::getenv("TINYGPT_GPT2_VOCABULARY");
  return said != nullptr ? said : TINYGPT_SOURCE_DIR "/../shared/data/gpt2";
}

std::vector<std::string> tokens_of(const Tokenizer& tokenizer) {
  std::vector<std::string> tokens;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) tokens.emplace_back(tokenizer.decode(id));
  return tokens;
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
  const ScratchDirectory scratch;
  for (const auto layout : {TokenizerFiles::tokenizer_json, TokenizerFiles::vocab_and_merges, TokenizerFiles::openai}) {
    const auto copy = scratch.path / std::to_string(static_cast<int>(layout));
    save_tokenizer(tokenizer, copy, layout);
    CHECK(load_tokenizer(copy) == tokenizer);
  }
}

TEST_CASE("any bytes and any characters come back from GPT-2's vocabulary") {
  const std::filesystem::path directory = gpt2_directory();
  if (!std::filesystem::exists(directory / "vocab.bpe")) {
    WARN("GPT-2's vocab.bpe is not here, so this test has not run: give its directory in TINYGPT_GPT2_VOCABULARY");
    return;
  }
  const Tokenizer gpt2 = load_tokenizer(directory);
  const Tokenizer gpt4(tokens_of(gpt2), gpt2.vocabulary().merges(), Pattern::gpt4, gpt2.vocabulary().special(),
                       WholeWords::at_once);
  std::mt19937_64 random(1);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  for (const Tokenizer& tokenizer : {gpt2, gpt4}) {
    Encoder encoder(tokenizer);
    Ids ids;
    const auto survives = [&](const std::string& text) {
      ids.clear();
      encoder.encode(text, ids);
      return tokenizer.decode(ids) == text;
    };
    int lost = 0;
    std::string text;
    for (int i = 0; i < 500'000; ++i) {
      text.clear();
      const std::uint64_t length = below(i % 1000 == 0 ? 500 : 24), few = 1 + below(256);
      while (text.size() < length) text += static_cast<char>(below(few) * 167);
      lost += !survives(text);
    }
    CHECK(lost == 0);
    for (int i = 0; i < 50'000; ++i) {
      text.clear();
      for (std::uint64_t left = below(20); left > 0; --left) {
        const std::uint64_t plane = below(4);
        auto c = static_cast<char32_t>(plane == 0 ? below(0x80) : plane == 1 ? below(0x800) : below(0x110000));
        if (c >= 0xD800 && c < 0xE000) c = 0x1F600;
        append_utf8(text, c);
      }
      lost += !survives(text);
    }
    CHECK(lost == 0);
  }
}

TEST_CASE("no text takes more than linear time: ten million bytes of one character") {
  const std::filesystem::path directory = gpt2_directory();
  if (!std::filesystem::exists(directory / "vocab.bpe")) {
    WARN("GPT-2's vocab.bpe is not here, so this test has not run: give its directory in TINYGPT_GPT2_VOCABULARY");
    return;
  }
  const Tokenizer tokenizer = load_tokenizer(directory);
  for (const std::string character : {"a", " ", "\U0001F600", "the", "=", "\n", "\xFF"}) {
    INFO(character);
    std::string text;
    while (text.size() < 10'000'000) text += character;
    const auto begun = std::clock();
    const Ids ids = tokenizer.encode(text);
    // Seconds of this process, so that others do not matter. It takes a fifth or half of one; quadratic would take
    // days.
    CHECK(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC < 20);
    CHECK(tokenizer.decode(ids) == text);
  }
}

namespace {

/// A tokenizer.json as Hugging Face's library writes it, to be spoilt.
Json good_json() {
  return Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 5, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u0120ab": 4}, "merges": ["a b", "\u0120 ab"]}})");
}

Json sequence(const std::string& regex, const std::string& behavior = "Isolated", bool invert = false) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", behavior}, {"invert", invert}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}}}}};
}

constexpr const char* llama3_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

TEST_CASE("a tokenizer.json is read in each way in which such files are written") {
  const Tokenizer plain = from_text(good_json().dump());
  CHECK(plain.size() == 6);
  CHECK(plain.end_of_text() == 5);
  CHECK(plain.encode("ab ab ba") == Ids{3, 4, 2, 1, 0});
  const auto change = [](const char* at, const Json& value) {
    Json json = good_json();
    json[Json::json_pointer(at)] = value;
    return from_text(json.dump());
  };
  // Merges as pairs; with the line of a version; a special token that is in the vocabulary too.
  CHECK(change("/model/merges", Json::parse(R"([["a", "b"], ["\u0120", "ab"]])")) == plain);
  CHECK(change("/model/merges", Json::parse(R"(["#version: 0.2", "a b", "\u0120 ab"])")) == plain);
  CHECK(change("/model/vocab/<|endoftext|>", 5) == plain);
  CHECK(change("/model/dropout", 0.0) == plain);
  CHECK(change("/model/continuing_subword_prefix", "") == plain);
  CHECK(change("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {good_json()["pre_tokenizer"]}}}) == plain);
  Json bare = good_json();
  for (const char* const key : {"version", "truncation", "padding", "normalizer", "post_processor", "decoder"})
    bare.erase(key);
  for (const char* const key : {"type", "dropout", "byte_fallback", "ignore_merges"}) bare["model"].erase(key);
  CHECK(from_text(bare.dump()) == plain);

  const Tokenizer gpt4 = change("/pre_tokenizer", sequence(llama3_regex));
  CHECK(gpt4.vocabulary().pattern() == Pattern::gpt4);
  CHECK(change("/pre_tokenizer", sequence(llama3_regex, "Removed", true)) == gpt4);
  const Tokenizer whole = change(
      "/pre_tokenizer",
      sequence(
          R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)"));
  CHECK(whole.vocabulary().pattern() == Pattern::gpt4_whole_numbers);
  CHECK(whole.hash() != gpt4.hash());
  CHECK(from_text(tokenizer_json_text(whole)) == whole);
  for (const char* const key : {"/truncation", "/padding"}) CHECK(change(key, {{"max_length", 5}}) == plain);
  CHECK(change("/pre_tokenizer",
               sequence(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)")) == plain);
  CHECK(change("/pre_tokenizer/use_regex", false).vocabulary().pattern() == Pattern::none);
  CHECK(change("/model/ignore_merges", true).vocabulary().whole_words() == WholeWords::at_once);
}

TEST_CASE("what is written is read as it was, in every kind of tokenizer") {
  std::vector<Tokenizer> tokenizers{Tokenizer::bytes(), Tokenizer::characters("hello \u00e9"),
                                    from_text(good_json().dump())};
  Json gpt4 = good_json();
  gpt4["pre_tokenizer"] = sequence(llama3_regex);
  gpt4["model"]["ignore_merges"] = true;
  gpt4["added_tokens"].push_back({{"id", 6}, {"content", "<|\u65e5\"\\|>"}, {"special", true}});
  tokenizers.push_back(from_text(gpt4.dump()));
  for (const auto& tokenizer : tokenizers) {
    INFO(tokenizer.description());
    CHECK(from_text(tokenizer_json_text(tokenizer)) == tokenizer);
    CHECK(from_text(tokenizer_json_text(tokenizer)).hash() == tokenizer.hash());
  }
  const ScratchDirectory scratch;
  for (const std::size_t i : {0u, 1u, 2u}) {
    for (const auto layout : {TokenizerFiles::vocab_and_merges, TokenizerFiles::openai}) {
      const auto directory = scratch.path / "a" / (std::to_string(i) + std::to_string(static_cast<int>(layout)));
      save_tokenizer(tokenizers[i], directory, layout);
      CHECK(load_tokenizer(directory) == tokenizers[i]);
      for (const auto& file : std::filesystem::directory_iterator(directory)) {
        CHECK(load_tokenizer(file.path()) == tokenizers[i]);
      }
    }
  }
  // These files could not say its pattern.
  CHECK_THROWS_WITH(save_tokenizer(tokenizers[3], scratch.path / "b", TokenizerFiles::openai),
                    Contains("write tokenizer.json instead"));
  CHECK_FALSE(std::filesystem::exists(scratch.path / "b"));
  const Tokenizer clash({" ", "\u0120"}, {}, Pattern::none, {{"\u0120", 1}});
  CHECK_THROWS_WITH(tokenizer_json_text(clash), Contains("written like another"));
  const Tokenizer gap({"a", ""}, {}, Pattern::none, {});
  CHECK_THROWS_WITH(tokenizer_json_text(gap), Contains("has no token 1"));
}

TEST_CASE("every bad tokenizer.json is refused by a sentence that names the place") {
  struct Bad {
    const char* at;  // where in the file; a value of "remove" removes it
    Json value;
    const char* sentence;
  };
  const std::vector<Bad> cases{
      {"/model", "remove", "'model' is missing"},
      {"/model", 3, "'model' must be an object"},
      {"/model/type", "WordPiece", "a model of type WordPiece instead of BPE"},
      {"/model/type", 7, "instead of BPE"},
      {"/model/byte_fallback", true, "byte_fallback"},
      {"/model/byte_fallback", 1, "'model.byte_fallback' must be true or false"},
      {"/model/dropout", 0.1, "it has dropout"},
      {"/model/dropout", "0", "'model.dropout' must be a number"},
      {"/model/continuing_subword_prefix", "##", "a continuing_subword_prefix"},
      {"/model/end_of_word_suffix", "</w>", "an end_of_word_suffix"},
      {"/model/end_of_word_suffix", 1, "'model.end_of_word_suffix' must be a text"},
      {"/model/ignore_merges", "no", "'model.ignore_merges' must be true or false"},
      {"/model/vocab", "remove", "'model.vocab' is missing"},
      {"/model/vocab", Json::array(), "'model.vocab' must be an object"},
      {"/model/vocab/ab", -3, "the id of the token 'ab' must be a number from 0 to"},
      {"/model/vocab/ab", 1.5, "the id of the token 'ab'"},
      {"/model/vocab/ab", "3", "the id of the token 'ab'"},
      {"/model/vocab/ab", std::numeric_limits<std::uint64_t>::max(), "the id of the token 'ab'"},
      {"/model/vocab/ab", 6, "the token 'ab' has the id 6, but the ids of 6 tokens must be 0 to 5"},
      {"/model/vocab/ab", 1, "has the id of another, 1"},
      {"/model/vocab/a b", 6, "'a b' does not stand for bytes"},
      {"/model/vocab/\u20ac", 6, "'\u20ac' does not stand for bytes"},
      {"/model/vocab/", 6, "'' does not stand for bytes"},
      {"/model/vocab/<|endoftext|>", 6, "'<|endoftext|>' has the id 6"},
      {"/model/vocab",
       {{"\u0120", 0}, {"<|endoftext|>", 1}},
       "in the vocabulary and the id 5 among the special tokens"},
      {"/model/merges", "remove", "'model.merges' must be a list"},
      {"/model/merges", "a b", "'model.merges' must be a list"},
      {"/model/merges/1", "ab", "'model.merges[1]' must be two tokens with a space between"},
      {"/model/merges/1", "a b c", "'model.merges[1]' must be two tokens with a space between"},
      {"/model/merges/1", Json::array({"a"}), "'model.merges[1]' must be two tokens"},
      {"/model/merges/1", Json::array({"a", 1}), "'model.merges[1]' must be two tokens"},
      {"/model/merges/1", 5, "'model.merges[1]' must be two tokens"},
      {"/model/merges/1", "a x", "'model.merges[1]' needs the token 'x'"},
      {"/model/merges/1", "b a", "'model.merges[1]' needs the token 'ba'"},
      {"/model/merges/1", "a b", "merge 2 is of the same two tokens as one before it"},
      {"/model/merges/1", "a ", "'model.merges[1]' needs the token ''"},
      {"/added_tokens", 1, "'added_tokens' must be a list"},
      {"/added_tokens/0", 1, "'added_tokens[0]' must be an object"},
      {"/added_tokens/0/id", "remove", "'added_tokens[0].id' is missing"},
      {"/added_tokens/0/id", -1, "the id of 'added_tokens[0]'"},
      {"/added_tokens/0/id", 2, "has the id of another, 2"},
      {"/added_tokens/0/content", 1, "'added_tokens[0].content' must be a text"},
      {"/added_tokens/0/content", "", "a special token is empty"},
      {"/added_tokens/0/special", false, "the added token '<|endoftext|>' that is not special"},
      {"/added_tokens/0/special", "yes", "'added_tokens[0].special' must be true or false"},
      {"/added_tokens/1", good_json()["added_tokens"][0], "the special token '<|endoftext|>' twice"},
      {"/normalizer", {{"type", "NFC"}}, "a normalizer of type NFC"},
      {"/normalizer", {{"type", "Sequence"}}, "a normalizer of type Sequence"},
      {"/pre_tokenizer", nullptr, "no pre_tokenizer"},
      {"/pre_tokenizer", {{"type", "Whitespace"}}, "a pre_tokenizer of type Whitespace"},
      {"/pre_tokenizer", {{"type", "Sequence"}}, "'pre_tokenizer.pretokenizers' must be a list"},
      {"/pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", Json::array()}},
       "of type Sequence that is not Split"},
      {"/pre_tokenizer/add_prefix_space", true, "it has add_prefix_space"},
      {"/pre_tokenizer/add_prefix_space", "remove", "it has add_prefix_space"},
      {"/pre_tokenizer/use_regex", 1, "'pre_tokenizer.use_regex' must be true or false"},
      {"/pre_tokenizer", sequence(R"(\s+)"), "a Split by the regular expression '\\s+', which is none"},
      {"/pre_tokenizer", sequence(std::string(llama3_regex) + "|x"), "to the letter"},
      {"/pre_tokenizer", sequence("(?i)" + std::string(llama3_regex)), "to the letter"},
      {"/pre_tokenizer", sequence(llama3_regex, "MergedWithNext"), "a Split with behavior MergedWithNext"},
      {"/pre_tokenizer", sequence(llama3_regex, "Removed", false), "a Split with behavior Removed"},
      {"/decoder", {{"type", "Metaspace"}}, "a decoder of type Metaspace"},
  };
  CHECK(cases.size() >= 25);
  for (const auto& [at, value, sentence] : cases) {
    INFO(at << " " << value.dump());
    Json json = good_json();
    const Json::json_pointer pointer(at);
    if (value == "remove")
      json[pointer.parent_pointer()].erase(pointer.back());
    else
      json[pointer] = value;
    CHECK_THROWS_WITH(from_text(json.dump()), Contains("t.json") && Contains(sentence));
    CHECK_THROWS_AS(from_text(json.dump()), Error);
  }
  const std::string good = good_json().dump();
  const std::pair<std::string, const char*> texts[] = {
      {"", "not JSON at byte"},
      {"[]", "not an object"},
      {good.substr(0, good.size() / 2), "not JSON at byte"},
      {good + "x", "not JSON at byte"},
      {good + std::string(1, '\0'), "not JSON at byte"},
      {"{\"model\": \xFF}", "not UTF-8 at byte 10"},
      {"{\"a\": 1, \"a\": 2}", "the key 'a' twice"},
      {"{\"model\": {\"vocab\": {\"x\": 1, \"x\": 1}}}", "the key 'x' twice"},
      {"{\"a\": " + std::string(100'000, '[') + "}", "nested too deeply"},
      {"{\"a\": 1e999}", "out of range"},
      {"{}", "'model' is missing"},
  };
  for (const auto& pair : texts) {
    const auto& text = pair.first;
    const char* const sentence = pair.second;
    INFO(text.substr(0, 60));
    CHECK_THROWS_WITH(from_text(text), Contains("t.json") && Contains(sentence));
    CHECK(peak_bytes_of([&] { from_text(text); }) <= most_bytes_for(text.size()));
  }
}

TEST_CASE("every bad vocabulary and every bad list of merges is refused by a sentence that names the place") {
  const std::string vocab = R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})", merges = "#version: 0.2\na b\n";
  const auto read = [](const std::string& v, const std::string& m) {
    return tokenizer_from_vocab_and_merges(parse_json(v, "vocab.json"), "vocab.json", m, "merges.txt");
  };
  const Tokenizer good = read(vocab, merges);
  CHECK(good.end_of_text() == 3);
  CHECK(good.encode("abb") == Ids{2, 1});
  CHECK(read(vocab, "a b") == good);
  CHECK(read(vocab, "#version: 0.2\r\na b\r\n") == good);

  const std::pair<const char*, const char*> vocabularies[] = {
      {"", "not JSON"},
      {"[]", "not an object"},
      {"{}", "its vocabulary is empty"},
      {R"({"a": 0, "a": 1})", "the key 'a' twice"},
      {R"({"a": 0, "b": 0})", "the id of another, 0"},
      {R"({"a": 0, "b": 2})", "the ids of 2 tokens must be 0 to 1"},
      {R"({"a": 0, "b": -1})", "the id of the token 'b'"},
      {R"({"a": 0, "b": 0.5})", "the id of the token 'b'"},
      {R"({"a": 0, "b": "1"})", "the id of the token 'b'"},
      {R"({"a": 0, "b": null})", "the id of the token 'b'"},
      {R"({"a": 0, "b": 99999999999999999999})", "the id of the token 'b'"},
      {R"({"a": 0, " ": 1})", "' ' does not stand for bytes"},
      {R"({"a": 0, "": 1})", "'' does not stand for bytes"},
      {R"({"<a>": 0})", "at least one token that is text"},
      {R"({"a": {"a": 0}})", "the id of the token 'a'"},
  };
  for (const auto& [text, sentence] : vocabularies) {
    INFO(text);
    CHECK_THROWS_WITH(read(text, "#version: 0.2\n"),
                      (Contains("vocab.json") || Contains("merges.txt")) && Contains(sentence));
  }
  const std::pair<std::string, const char*> lists[] = {
      {"#version: 0.2\nab\n", "line 2 must be two tokens"},
      {"#version: 0.2\na b c\n", "line 2 must be two tokens"},
      {"#version: 0.2\n\na b\n", "line 2 must be two tokens"},
      {"a b\n\n\n", "line 2 must be two tokens"},
      {" a b\n", "line 1 must be two tokens"},
      {"a \n", "line 1 must be two tokens"},
      {" b\n", "line 1 must be two tokens"},
      {"a  b\n", "line 1 must be two tokens"},
      {"a b\n#version: 0.2\n", "line 2 does not go with vocab.json"},
      {"b a\n", "line 1 does not go with vocab.json"},
      {"a x\n", "line 1 does not go with vocab.json"},
      {"a b\na b\n", "merge 2 is of the same two tokens"},
      {"a \xFF\n", "not UTF-8 at byte 2"},
      {std::string("a b\n\0 b\n", 8), "line 2 does not go with vocab.json"},
      {"< |endoftext|>\n", "line 1 does not go with vocab.json"},
  };
  for (const auto& [text, sentence] : lists) {
    INFO(text);
    CHECK_THROWS_WITH(read(vocab, text), Contains("merges.txt") && Contains(sentence));
    CHECK_THROWS_AS(read(vocab, text), Error);
  }
}

TEST_CASE("a place without a tokenizer is a sentence, and a file that is too large is not read") {
  const ScratchDirectory scratch;
  CHECK_THROWS_WITH(load_tokenizer(scratch.path / "none"), Contains("there is no tokenizer"));
  CHECK_THROWS_WITH(load_tokenizer(scratch.path),
                    Contains("holds no tokenizer") && Contains("encoder.json and vocab.bpe"));
  save_tokenizer(Tokenizer::bytes(), scratch.path, TokenizerFiles::openai);
  std::filesystem::remove(scratch.path / "encoder.json");
  CHECK_THROWS_WITH(load_tokenizer(scratch.path), Contains("holds no tokenizer"));
  CHECK_THROWS_WITH(load_tokenizer(scratch.path / "vocab.bpe"), Contains("encoder.json") && Contains("no such file"));
  const auto large = scratch.path / "tokenizer.json";
  { OutputFile(large).finish(); }
  std::filesystem::resize_file(large, 65u << 20);
  CHECK_THROWS_WITH(load_tokenizer(scratch.path), Contains("more than the 67.1 MB"));
}

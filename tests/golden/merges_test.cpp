#include <catch.hpp>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <tinygpt/data/bpe_trainer.hpp>
#include <tinygpt/data/word_counter.hpp>

using namespace tinygpt;

namespace {

using Pairs = std::vector<std::pair<std::int32_t, std::int32_t>>;

nlohmann::json golden() {
  std::ifstream file(TINYGPT_SOURCE_DIR "/tests/golden/merges.json");
  return nlohmann::json::parse(file);
}

Pairs learned(std::string_view text, const nlohmann::json& expected, const std::string& special, int threads) {
  const Pattern pattern = expected.at("pattern") == "gpt4" ? Pattern::gpt4 : Pattern::gpt2;
  WordCounter counter(pattern, threads);
  counter.add(text);
  const Tokenizer tokenizer =
      train_bpe(counter.finish(), {expected.at("vocab_size").get<int>(), pattern, {special}}).tokenizer;
  Pairs pairs;
  for (const Merge& m : tokenizer.vocabulary().merges()) pairs.emplace_back(m.left, m.right);
  return pairs;
}

std::string fnv(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash_text(hash);
}

/// What a command prints; empty where it fails.
std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen(("( " + command + " ) 2> /dev/null").c_str(), "r");
  std::string text;
  char buffer[1 << 16];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  ::pclose(pipe);
  return text;
}

}  // namespace

TEST_CASE("the merges of small texts are those of Hugging Face's tokenizers, in their order") {
  const auto all = golden();
  for (const auto& expected : all.at("small")) {
    CAPTURE(expected.at("name").get<std::string>(), expected.at("pattern").get<std::string>());
    const auto pairs = learned(expected.at("text").get<std::string>(), expected, all.at("special"), 1);
    CHECK(pairs == expected.at("merges").get<Pairs>());
  }
}

TEST_CASE("the merges of books are those of Hugging Face's tokenizers, at 1,000, 8,000 and 32,000 tokens") {
  const auto all = golden();
  std::string command, text;
  for (const auto& expected : all.at("large")) {
    CAPTURE(expected.at("name").get<std::string>(), expected.at("pattern").get<std::string>(),
            expected.at("vocab_size").get<int>());
    if (expected.at("command") != command) {
      command = expected.at("command").get<std::string>();
      text = output_of(command);
      if (fnv(text) != expected.at("text_hash")) {
        WARN("skipped: " + expected.at("name").get<std::string>() + " as in Debian 12's package is not there");
      }
    }
    if (fnv(text) != expected.at("text_hash")) continue;
    for (const int threads : {1, 3}) {
      const auto pairs = learned(text, expected, all.at("special"), threads);
      std::string lines;
      for (const auto& [left, right] : pairs) lines += std::to_string(left) + " " + std::to_string(right) + "\n";
      CHECK(pairs.size() == expected.at("merges").get<std::size_t>());
      CHECK(fnv(lines) == expected.at("merges_hash"));
    }
  }
}

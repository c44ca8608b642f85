// Where long texts are cut, and what a large item holds back.
#include <catch.hpp>

#include <atomic>
#include <thread>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/prepare/document.hpp>
#include <tinygpt/prepare/pipeline.hpp>

#include "inputs.hpp"

using namespace tinygpt;
using namespace tinygpt::prepare;

namespace {

/// Bytes, and merges of every pair of letters of "the king and the queen of the sea said ".
Tokenizer small_tokenizer() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  std::vector<Merge> merges;
  const std::string text = " the king and queen of sea said";
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const std::string pair = text.substr(i, 2);
    if (std::find(tokens.begin(), tokens.end(), pair) != tokens.end()) continue;
    merges.push_back({pair[0], pair[1], static_cast<std::int32_t>(tokens.size())});
    tokens.push_back(pair);
  }
  return Tokenizer(std::move(tokens), std::move(merges), Pattern::gpt2, {});
}

}  // namespace

TEST_CASE("a text without line ends is cut between words, so its tokens are those of the whole") {
  const ScratchDirectory scratch;
  std::string text;
  while (text.size() < 2'500'000) text += "the king and the queen of the sea said ";
  const Tokenizer tokenizer = small_tokenizer();
  for (const std::string separator : {"", "<|endoftext|>"}) {
    const std::vector<Source> sources{source_of("s", {scratch.file("text", text)})};
    ChunkReader reader(sources, separator);
    std::vector<std::int32_t> ids;
    int parts = 0;
    while (const auto chunk = reader.next()) {
      for_each_document(
          *chunk, Layout::text, separator, "text",
          [&](const Document& document) {
            const auto part = tokenizer.encode(document.text);
            ids.insert(ids.end(), part.begin(), part.end());
            ++parts;
          },
          [](const BadRow&) {});
    }
    CHECK((parts > 30 || !separator.empty()));
    CHECK(ids == tokenizer.encode(text));
  }
}

TEST_CASE("while a large item is in work no other one is taken") {
  std::atomic<int> in_work{0}, most_beside_a_large_one{0};
  int next = 0, sunk = 0;
  in_order(
      4, [&]() -> std::optional<int> { return next < 200 ? std::optional(next++) : std::nullopt; },
      [&] {
        return [&](int&& i) {
          const int others = in_work++;
          const bool large = i % 10 == 0;
          if (large) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            // Those that were taken before may still be in work; none comes.
            most_beside_a_large_one = std::max(most_beside_a_large_one.load(), in_work - 1 - others);
          }
          --in_work;
          return i;
        };
      },
      [&](int&& i) { CHECK(i == sunk++); }, [](int i) { return i % 10 == 0; });
  CHECK(sunk == 200);
  CHECK(most_beside_a_large_one <= 0);
}

TEST_CASE("a fault of a large item ends all, as that of any other") {
  int next = 0;
  const auto run = [&] {
    in_order(
        4, [&]() -> std::optional<int> { return next++; },
        [] {
          return [](int&& i) {
            if (i == 40) throw Error("forty");
            return i;
          };
        },
        [](int&&) {}, [](int i) { return i % 10 == 0; });
  };
  CHECK_THROWS_WITH(run(), "forty");
}

TEST_CASE("the window of a zstd frame is told as its header says it") {
  using input_stream::zstd_window;
  const std::string magic = "\x28\xB5\x2F\xFD";
  CHECK(zstd_window(magic + std::string("\x00\x88", 2)) == std::uint64_t{1} << 27);
  CHECK(zstd_window(magic + std::string("\x00\xA8", 2)) == std::uint64_t{1} << 31);
  CHECK(zstd_window(magic + std::string("\x00\x89", 2)) == (std::uint64_t{1} << 27) + (std::uint64_t{1} << 24));
  CHECK(zstd_window(magic + std::string("\x20\x07", 2)) == 7);
  CHECK(zstd_window(magic + std::string("\x60\x01\x00", 3)) == 257);
  CHECK(zstd_window(magic + std::string("\xA0\x00\x00\x00\x01", 5)) == std::uint64_t{1} << 24);
  CHECK(zstd_window(magic) == 0);
  CHECK(zstd_window("plain text") == 0);
}

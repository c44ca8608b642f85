// How fast text becomes tokens: encode TOKENIZER FILE [ROUNDS], with one thread.
//
// Prints a line of JSON: the number of tokens, a checksum of their ids, and for each round the seconds of a new encoder,
// which has seen no word, and of the same one again.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <tinygpt/data/text_file.hpp>
#include <tinygpt/io/tokenizer_files.hpp>

using namespace tinygpt;

namespace {

template <class Work> double seconds(Work&& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "encode TOKENIZER FILE [ROUNDS]\n");
    return 2;
  }
  try {
    const Tokenizer tokenizer = load_tokenizer(argv[1]);
    const std::string text = read_text_file(argv[2]);
    const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
    std::vector<std::int32_t> ids;
    Json report{{"bytes", text.size()}, {"first", Json::array()}, {"again", Json::array()}};
    for (int round = 0; round < rounds; ++round) {
      std::optional<Encoder> encoder;
      ids = {};
      report["first"].push_back(seconds([&] {
        encoder.emplace(tokenizer);
        encoder->encode(text, ids);
      }));
      ids = {};
      report["again"].push_back(seconds([&] { encoder->encode(text, ids); }));
    }
    report["tokens"] = ids.size();
    report["crc32c"] = crc_text(crc32c(std::as_bytes(std::span(ids))));
    std::printf("%s\n", report.dump().c_str());
  } catch (const Error& error) {
    std::fprintf(stderr, "encode: %s\n", error.what());
    return 1;
  }
  return 0;
}

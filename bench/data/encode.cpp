// How fast text becomes tokens: encode TOKENIZER FILE [IDS], with one thread; writes the ids to IDS as 32-bit numbers.
//
// Prints a line of JSON: the number of tokens, and the seconds of a new encoder, which has seen no word, and of the same
// one again.
#include <chrono>
#include <cstdio>

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
    std::fprintf(stderr, "encode TOKENIZER FILE [IDS]\n");
    return 2;
  }
  try {
    const Tokenizer tokenizer = load_tokenizer(argv[1]);
    const std::string text = read_text_file(argv[2]);
    std::vector<std::int32_t> ids, again;
    std::optional<Encoder> encoder;
    const double first = seconds([&] {
      encoder.emplace(tokenizer);
      encoder->encode(text, ids);
    });
    const double second = seconds([&] { encoder->encode(text, again); });
    if (argc > 3) {
      OutputFile file(argv[3]);
      file.write(std::as_bytes(std::span(ids)));
      file.finish();
    }
    const Json report{{"bytes", text.size()}, {"tokens", ids.size()}, {"first", first}, {"again", second}};
    std::printf("%s\n", report.dump().c_str());
  } catch (const Error& error) {
    std::fprintf(stderr, "encode: %s\n", error.what());
    return 1;
  }
  return 0;
}

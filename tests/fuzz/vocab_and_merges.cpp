// Any bytes as encoder.json and vocab.bpe, or vocab.json and merges.txt: the first up to a zero byte, the second after
// it.
#include <cstdlib>

#include <tinygpt/io/tokenizer_files.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto zero = std::min(text.find('\0'), text.size());
  const std::string_view vocab = text.substr(0, zero), merges = text.substr(std::min(zero + 1, text.size()));
  const auto read = [](std::string_view v, std::string_view m) {
    return tokenizer_from_vocab_and_merges(parse_json(v, "vocab.json"), "vocab.json", m, "merges.txt");
  };
  std::optional<Tokenizer> tokenizer;
  try {
    tokenizer = read(vocab, merges);
  } catch (const Error&) {
    return 0;
  }
  try {
    if (tokenizer->decode(tokenizer->encode(text)) != text) std::abort();
  } catch (const Error&) {
    if (tokenizer->vocabulary().has_all_bytes()) std::abort();
  }
  const VocabAndMerges written = vocab_and_merges(*tokenizer);
  if (read(written.vocab, written.merges) != *tokenizer) std::abort();
  return 0;
}

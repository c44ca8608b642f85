// Any bytes as a tokenizer.json: refused by a sentence, or a tokenizer that can be used, written and read again.
#include <cstdlib>

#include <tinygpt/io/tokenizer_json.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::optional<Tokenizer> tokenizer;
  try {
    tokenizer = tokenizer_from_json(parse_json(text, "tokenizer.json"), "tokenizer.json");
  } catch (const Error&) {
    return 0;
  }
  try {
    const auto ids = tokenizer->encode(text);
    if (tokenizer->decode(ids) != text) std::abort();
    for (const auto id : ids) {
      if (tokenizer->is_special(id)) std::abort();
    }
  } catch (const Error&) {
    // A byte without a token.
    if (tokenizer->vocabulary().has_all_bytes()) std::abort();
  }
  std::string written;
  try {
    written = tokenizer_json_text(*tokenizer);
  } catch (const Error&) {
    return 0;  // a special token that is written like another
  }
  if (tokenizer_from_json(parse_json(written, "written"), "written") != *tokenizer) std::abort();
  return 0;
}

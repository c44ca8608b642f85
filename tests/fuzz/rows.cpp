// A file of JSONL or text, cut into documents: whatever it holds, each document is valid UTF-8, nothing is lost of a text,
// and a row gives what a JSON parser gives.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <tinygpt/io/json.hpp>
#include <tinygpt/prepare/document.hpp>

using namespace tinygpt;
using namespace tinygpt::prepare;

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const bool rows = data[0] % 2 == 0;
  const std::string separator(data[0] % 4 == 1 ? "" : "--");
  Chunk chunk;
  chunk.ends_document = data[1] % 2 == 0;
  chunk.text.assign(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::size_t bytes = 0, documents = 0;
  bool bad = false;
  for_each_document(
      chunk, rows ? Layout::jsonl : Layout::text, separator, "text",
      [&](const Document& document) {
        expect(!first_utf8_fault(document.text));
        bytes += document.text.size();
        ++documents;
      },
      [&](const BadRow& row) {
        expect(!row.why.empty() && row.line >= 1 && row.offset <= static_cast<std::int64_t>(chunk.text.size()));
        bad = true;
      });
  if (!rows && !bad && separator.empty()) expect(bytes == chunk.text.size());
  if (rows && documents == 1 && !bad && chunk.text.find('\n') == std::string::npos && Json::accept(chunk.text)) {
    expect(Json::parse(chunk.text)["text"].get<std::string>().size() == bytes);
  }
  return 0;
}

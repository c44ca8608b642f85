// Any bytes as documents.bin of a dataset and as the logs of a source that is appended to it: refused by a sentence, or
// every document goes to training, to validation or out, once, with the tokens that the log has.
//
// The first byte chooses how; then come the length of documents.bin (32 bits) and its bytes, the same of the source's
// documents, and its tokens.
#include <cstdlib>
#include <cstring>

#include <tinygpt/prepare/assemble_sources.hpp>

#include "files_in_memory.hpp"
#include "fuzz_input.hpp"

using namespace tinygpt;
using namespace tinygpt::prepare;

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

/// What a queue gives until it is empty: its documents or parts of them, and their tokens.
template <class Q> std::pair<std::int64_t, std::vector<std::int32_t>> drain(Q& queue) {
  std::pair<std::int64_t, std::vector<std::int32_t>> all;
  const auto take = [&](std::span<const std::int32_t> tokens) {
    all.second.insert(all.second.end(), tokens.begin(), tokens.end());
  };
  while (queue.next(take)) ++all.first;
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const FilesInMemory files({"documents.bin", "0.documents", "0.tokens"});
  FuzzInput input(data, size);
  const unsigned choice = input.byte();
  const std::string_view list = input.counted(), log = input.counted(), tokens = input.rest();
  files.write(0, list);
  files.write(1, log);
  files.write(2, tokens);
  const int token_bytes = choice % 2 == 0 ? 2 : 4;
  AssembleOptions options;
  options.deduplicate = choice / 2 % 2 == 0;
  options.val_fraction = choice / 4 % 4 * 0.25;
  const std::int64_t count =
      static_cast<std::int64_t>(log.size() / sizeof(DocumentRecord)) + (choice / 16 % 4 == 0 ? 1 : 0);
  try {
    const auto old = DocumentList::of(files.path);
    expect(old && old->count == static_cast<std::int64_t>(list.size() / sizeof(DocumentRecord)) - 1);
    const Division division({{files.path / "0.documents", count, 0}}, old, options);
    std::int64_t given = 0, left_out = 0;
    for (std::int64_t i = 0; i < count; ++i) left_out += division.duplicate(0, i);
    for (const bool validation : {false, true}) {
      const auto wanted = [&](std::int64_t i, const DocumentRecord& record) {
        return !division.duplicate(0, i) && division.validates(record) == validation;
      };
      LogQueue<decltype(wanted)> queue(division.sources()[0], files.path / "0.tokens", token_bytes, wanted);
      const auto first = drain(queue);
      queue.begin();
      expect(drain(queue) == first);
      expect(first.second.size() <= tokens.size() / static_cast<std::size_t>(token_bytes));
      given += first.first;
    }
    expect(given + left_out == count);
  } catch (const Error&) {
  }
  return 0;
}

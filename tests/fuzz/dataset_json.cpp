// Any bytes as dataset.json, or after a first byte of 'm' as dataset_metadata.json: refused by a sentence, or a list of
// files that lie in the directory itself.
#include <cstdlib>

#include <tinygpt/io/dataset.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::filesystem::path directory = "/nonexistent/data";
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool metadata = text.starts_with('m');
  if (metadata) text.remove_prefix(1);
  try {
    const Json json = parse_json(text, "dataset.json");
    const Dataset dataset = metadata ? dataset::raw(directory, json) : dataset::prepared(directory, json);
    for (const DatasetSplit* split : {&dataset.train, &dataset.validation}) {
      std::int64_t sum = 0;
      for (const DatasetShard& shard : split->shards) {
        if ((directory / shard.file).parent_path() != directory || shard.file == "..") std::abort();
        if (shard.tokens.value_or(0) < 0 || __builtin_add_overflow(sum, shard.tokens.value_or(0), &sum)) {
          if (!metadata) std::abort();
        }
      }
      if (split->tokens && *split->tokens != sum) std::abort();
    }
    if (dataset.vocab.value_or(1) < 1) std::abort();
  } catch (const Error&) {
  }
  return 0;
}

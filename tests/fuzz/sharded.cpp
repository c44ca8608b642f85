// Any bytes as model.safetensors.index.json and two shards beside a config.json: refused by a sentence, or a model with
// the numbers of the shards.
//
// The index reaches to the first zero byte; then come the length of first.safetensors (32 bits), its bytes, and those
// of second.safetensors.
#include <cstdlib>
#include <cstring>
#include <string>

#include <tinygpt/io/model_directory.hpp>

#include "files_in_memory.hpp"
#include "fuzz_input.hpp"

using namespace tinygpt;

namespace {

const char* const llama_config = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "hidden_act": "silu", "hidden_size": 4,
  "intermediate_size": 3, "max_position_embeddings": 8, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 2, "num_hidden_layers": 1, "num_key_value_heads": 1, "rms_norm_eps": 1e-06,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "vocab_size": 5})";

const char* const first_shard = "first.safetensors";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const FilesInMemory directory(
      {"config.json", "model.safetensors.index.json", first_shard, "second.safetensors"});
  directory.write(0, llama_config);
  FuzzInput input(data, size);
  const std::string_view index = input.up_to('\0');
  const std::string_view first = input.counted();
  const std::string_view shards[] = {first, input.rest()};
  directory.write(1, index);
  directory.write(2, shards[0]);
  directory.write(3, shards[1]);
  try {
    const LoadedModel model = read_model_directory(directory.path);
    const ParamTable table(model.config);
    if (model.weights.size() != static_cast<std::size_t>(table.arena_size())) std::abort();
    // Half precision is the least that a parameter takes.
    if (static_cast<std::int64_t>(shards[0].size() + shards[1].size()) < table.param_count() * 2) std::abort();
    // The numbers are those of the file that the index says.
    const auto listed = tensor_files::parse_index(parse_json(index, "index"), "index");
    for (const char* const name : {"model.norm.weight", "norm.weight"}) {
      const auto it = listed.find(name);
      if (it == listed.end()) continue;
      const std::size_t place = it->second == first_shard ? 0 : 1;
      const SafetensorsReader reader(directory.path / it->second);
      for (const TensorEntry& entry : reader.entries()) {
        if (entry.name != name || entry.type != "F32") continue;
        std::uint64_t header = 0;
        std::memcpy(&header, shards[place].data(), sizeof header);
        const char* const theirs = shards[place].data() + sizeof header + header + entry.begin;
        const float* const ours = model.weights.data() + table[Param::final_norm_weight].offset;
        if (std::memcmp(theirs, ours, 4 * sizeof(float)) != 0) std::abort();
      }
    }
  } catch (const Error&) {
  }
  return 0;
}

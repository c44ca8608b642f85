// Any bytes as model.safetensors.index.json and two shards beside a config.json: refused by a sentence, or a model with
// the numbers of the shards.
//
// The index reaches to the first zero byte; then come the length of first.safetensors (32 bits), its bytes, and those
// of second.safetensors.
#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include <tinygpt/io/model_directory.hpp>

using namespace tinygpt;

namespace {

const char* const config_text = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "hidden_act": "silu", "hidden_size": 4,
  "intermediate_size": 3, "max_position_embeddings": 8, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 2, "num_hidden_layers": 1, "num_key_value_heads": 1, "rms_norm_eps": 1e-06,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "vocab_size": 5})";

/// A directory whose files lie in memory.
class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "tinygpt-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
    for (std::size_t i = 0; i < names.size(); ++i) {
      files_[i] = ::memfd_create(names[i], 0);
      if (files_[i] < 0) std::abort();
      std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(files_[i]), path / names[i]);
    }
    write(0, config_text);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  void write(std::size_t file, std::string_view bytes) const {
    if (::ftruncate(files_[file], 0) != 0) std::abort();
    if (::pwrite(files_[file], bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  }

  static constexpr std::array names{"config.json", "model.safetensors.index.json", "first.safetensors",
                                    "second.safetensors"};
  std::filesystem::path path;

 private:
  std::array<int, names.size()> files_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Directory directory;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string_view index = all.substr(0, all.find('\0'));
  std::string_view rest = all.substr(std::min(index.size() + 1, all.size()));
  std::uint32_t length = 0;
  std::memcpy(&length, rest.data(), std::min(rest.size(), sizeof length));
  rest.remove_prefix(std::min(rest.size(), sizeof length));
  const std::string_view shards[] = {rest.substr(0, length), rest.substr(std::min<std::size_t>(length, rest.size()))};
  directory.write(1, index);
  directory.write(2, shards[0]);
  directory.write(3, shards[1]);
  try {
    const LoadedModel model = read_model_directory(directory.path);
    const ParamTable table(model.config);
    if (model.weights.size() != static_cast<std::size_t>(table.arena_size())) std::abort();
    // Half precision is the least that a parameter takes.
    if (static_cast<std::int64_t>(rest.size()) < table.param_count() * 2) std::abort();
    // The numbers are those of the file that the index says.
    const auto listed = tensor_files::parse_index(parse_json(index, "index"), "index");
    for (const char* const name : {"model.norm.weight", "norm.weight"}) {
      const auto it = listed.find(name);
      if (it == listed.end()) continue;
      const std::size_t place = it->second == Directory::names[2] ? 0 : 1;
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

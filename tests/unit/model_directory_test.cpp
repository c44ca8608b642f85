// Model directories as Hugging Face has them: ours read back, and everything that others do differently.
#include <catch.hpp>

#include <fstream>
#include <random>

#include <scratch.hpp>
#include <tinygpt/io/model_directory.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

const Config gpt2_like{
    .layers = 2, .embd = 12, .query_heads = 3, .kv_heads = 3, .ctx = 7, .head_dim = 4, .vocab = 19, .ffn = 40};
const Config llama_like{.layers = 2,
                        .embd = 12,
                        .query_heads = 4,
                        .kv_heads = 2,
                        .ctx = 7,
                        .head_dim = 6,
                        .vocab = 19,
                        .ffn = 25,
                        .activation = swiglu,
                        .norm = rms,
                        .positions = rope,
                        .head = untied};
const Config odd{
    .layers = 2, .embd = 12, .query_heads = 3, .kv_heads = 1, .ctx = 7, .head_dim = 4, .vocab = 19, .ffn = 5};

Config with_biases(Config config) {
  config.bias = BiasSet::all;
  return config;
}

/// Numbers that bfloat16 and float16 hold exactly, and zeros in the gaps of the arena.
std::vector<float> numbers(const Config& config) {
  std::mt19937 random(1);
  const ParamTable table(config);
  std::vector<float> arena(static_cast<std::size_t>(table.arena_size()));
  for (const auto& tensor : stacked_tensors(table)) {
    for (const ArenaMatrix& part : tensor.parts) {
      for (std::int64_t i = 0; i < part.size(); ++i) {
        arena[static_cast<std::size_t>(part.offset + i)] = static_cast<float>(random() % 256) / 64 - 2;
      }
    }
  }
  return arena;
}

/// Tensors of a model under names that `rename` makes of its own (an empty one: not written).
template <class Rename>
void write_tensors(const std::filesystem::path& path, const Config& config, std::span<const float> weights,
                   Rename&& rename) {
  std::vector<ArenaTensor<const float>> tensors;
  for (MappedTensor& tensor : hf_tensors(config)) {
    tensor.name = rename(tensor.name);
    if (!tensor.name.empty()) tensors.push_back({tensor, weights});
  }
  std::filesystem::remove(path);
  OutputFile file(path);
  write_safetensors(file, tensors);
  file.finish();
}

void write_config(const std::filesystem::path& directory, const Config& config) {
  std::ofstream(directory / "config.json") << hf_config_json(config, StoredType::float32, std::nullopt).dump();
}

std::string same(const std::string& name) { return name; }

}  // namespace

TEST_CASE("a model comes back from its directory in each type of numbers, with its name and its tokenizer") {
  const ScratchDirectory scratch;
  const Tokenizer tokenizer = Tokenizer::characters("abc");
  for (const Config& config : {gpt2_like, with_biases(gpt2_like), llama_like, odd}) {
    const auto weights = numbers(config);
    for (const StoredType type : {StoredType::float32, StoredType::bfloat16, StoredType::float16}) {
      INFO(type_text(config));
      const auto directory = scratch.path / "m";
      write_model_directory(directory, {"mine", config, weights, &tokenizer}, type,
                            type == StoredType::float32 ? Manifest::yes : Manifest::no);
      for (const auto& expected : {std::optional<Config>(), std::optional<Config>(config)}) {
        const LoadedModel back = read_model_directory(directory, expected);
        CHECK(back.config == config);
        CHECK(back.weights == weights);
        CHECK(back.name == "mine");
        CHECK(back.tokenizer == tokenizer);
      }
      CHECK(std::filesystem::exists(directory / "manifest.json") == (type == StoredType::float32));
      CHECK(read_json(directory / "generation_config.json").is_object());
      CHECK(read_json(directory / "tokenizer_config.json")["model_max_length"] == 7);
    }
  }
}

TEST_CASE("a model without a tokenizer is one, and one with more tokens than ids is refused") {
  const ScratchDirectory scratch;
  const auto weights = numbers(llama_like);
  write_model_directory(scratch.path / "m", {"mine", llama_like, weights, nullptr});
  CHECK_FALSE(read_model_directory(scratch.path / "m").tokenizer);
  std::ofstream(scratch.path / "m" / "tokenizer.json") << tokenizer_json_text(Tokenizer::bytes());
  CHECK_THROWS_WITH(read_model_directory(scratch.path / "m"), Contains("256 tokens") && Contains("room for 19"));
}

TEST_CASE("GPT-2's biases are left out only where they are zero") {
  const ScratchDirectory scratch;
  write_config(scratch.path, gpt2_like);
  Config some = gpt2_like;
  some.bias = attn_in;
  const auto without = numbers(gpt2_like), with = numbers(some);
  write_tensors(scratch.path / "model.safetensors", gpt2_like, without, same);
  CHECK(read_model_directory(scratch.path).config == with_biases(gpt2_like));
  CHECK(read_model_directory(scratch.path, gpt2_like).weights == without);
  CHECK(read_model_directory(scratch.path, some).config == some);
  write_tensors(scratch.path / "model.safetensors", some, with, same);
  CHECK(read_model_directory(scratch.path, some).weights == with);
  CHECK_THROWS_WITH(read_model_directory(scratch.path, gpt2_like),
                    Contains("c_attn.bias' that is not zero") && Contains("Bias<all>"));
}

TEST_CASE("tensors may lack the prefix, and buffers of older versions are passed over") {
  const ScratchDirectory scratch;
  for (const Config& config : {with_biases(gpt2_like), llama_like}) {
    write_config(scratch.path, config);
    const auto weights = numbers(config);
    const bool gpt2 = config.positions == learned;
    write_tensors(scratch.path / "model.safetensors", config, weights, [&](const std::string& name) {
      const std::string prefix = gpt2 ? "transformer." : "model.";
      return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
    });
    CHECK(read_model_directory(scratch.path).weights == weights);

    std::vector<ArenaTensor<const float>> tensors = in_arena(hf_tensors(config), std::span<const float>(weights));
    for (const char* const buffer :
         {"transformer.h.0.attn.bias", "h.1.attn.masked_bias", "model.layers.1.self_attn.rotary_emb.inv_freq"}) {
      tensors.push_back({{buffer, {2}, {ArenaMatrix{0, 1, 2}}}, weights});
    }
    const auto write = [&] {
      std::filesystem::remove(scratch.path / "model.safetensors");
      OutputFile file(scratch.path / "model.safetensors");
      write_safetensors(file, tensors);
      file.finish();
    };
    write();
    CHECK(read_model_directory(scratch.path).weights == weights);
    tensors.push_back({{"transformer.h.x.attn.bias", {2}, {ArenaMatrix{0, 1, 2}}}, weights});
    write();
    CHECK_THROWS_WITH(read_model_directory(scratch.path),
                      Contains("'transformer.h.x.attn.bias' that this model has not"));
  }
}

TEST_CASE("a tied head may be there twice where it is the embedding, and only there") {
  const ScratchDirectory scratch;
  Config tied_one = llama_like, other = llama_like;
  tied_one.head = tied;
  write_config(scratch.path, tied_one);
  auto weights = numbers(other);
  const ParamTable table(other);
  const ParamRow &embedding = table[Param::token_embedding], &head = table[Param::head_weight];
  std::copy_n(weights.begin() + embedding.offset, embedding.size(), weights.begin() + head.offset);
  write_tensors(scratch.path / "model.safetensors", other, weights, same);
  CHECK(read_model_directory(scratch.path).config == tied_one);
  weights[static_cast<std::size_t>(head.offset) + 5] += 1;
  write_tensors(scratch.path / "model.safetensors", other, weights, same);
  CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains("a head of its own") && Contains("Head<untied>"));
}

TEST_CASE("tensors that are missing, or of another shape or type, are named before memory is taken") {
  const ScratchDirectory scratch;
  const auto weights = numbers(llama_like);
  const auto file = scratch.path / "model.safetensors";
  write_config(scratch.path, llama_like);
  CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains("model.safetensors") && Contains("missing"));
  write_tensors(file, llama_like, weights,
                [](const std::string& name) { return name == "model.norm.weight" ? "" : name; });
  CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains("'model.norm.weight' is missing"));
  write_tensors(file, llama_like, weights, same);
  Config larger = llama_like;
  larger.vocab = 10'000'000;
  larger.layers = 10'000;
  write_config(scratch.path, larger);
  CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains("10000 layers"));
  larger.layers = 2;
  write_config(scratch.path, larger);
  CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains("(19, 12)") && Contains("(10000000, 12)"));
  larger.vocab = 19;
  write_config(scratch.path, larger);
  CHECK(read_model_directory(scratch.path).weights == weights);
  CHECK_THROWS_WITH(read_model_directory(scratch.path, gpt2_like),
                    Contains("norm rms, here layer") && Contains("config-from"));
  std::filesystem::remove(scratch.path / "config.json");
  CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains("not a whole model"));
}

TEST_CASE("a model in shards is the same model, and every bad index is refused by name") {
  const ScratchDirectory scratch;
  const auto weights = numbers(llama_like);
  write_config(scratch.path, llama_like);
  const auto first = [](const std::string& name) { return name < "model.layers.1"; };
  write_tensors(scratch.path / "model-00001-of-00002.safetensors", llama_like, weights,
                [&](const std::string& name) { return first(name) ? name : ""; });
  write_tensors(scratch.path / "model-00002-of-00002.safetensors", llama_like, weights,
                [&](const std::string& name) { return first(name) ? "" : name; });
  Json map;
  for (const auto& tensor : hf_tensors(llama_like)) {
    map[tensor.name] = first(tensor.name) ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
  }
  const auto write_index = [&](const std::string& text) {
    std::ofstream(scratch.path / "model.safetensors.index.json", std::ios::binary) << text;
  };
  const auto index_of = [](const Json& weight_map) {
    return Json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}}.dump();
  };
  write_index(index_of(map));
  CHECK(read_model_directory(scratch.path).weights == weights);

  const auto changed = [&](const Json& file) {
    Json other = map;
    other["model.norm.weight"] = file;
    return index_of(other);
  };
  const auto without = [&] {
    Json other = map;
    other.erase("model.norm.weight");
    return index_of(other);
  };
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "not JSON"},
      {"{", "not JSON"},
      {"[]", "not an object"},
      {"{}", "'weight_map' is missing"},
      {R"({"weight_map": {}})", "'weight_map' is empty"},
      {R"({"weight_map": []})", "an object"},
      {R"({"weight_map": null})", "an object"},
      {R"({"weight_map": "model.safetensors"})", "an object"},
      {R"({"weight_map": {"a": "b.safetensors", "a": "c.safetensors"}})", "twice"},
      {R"({"metadata": 3, "weight_map": {"a": "b.safetensors"}})", "'metadata'"},
      {R"({"weight_map": {"a": {"a": {"a": 1}}}})", "must be a text"},
      {"{\"weight_map\": {\"\xFF\": \"b.safetensors\"}}", "not UTF-8"},
      {"{\"weight_map\": " + std::string(100, '[') + std::string(100, ']') + "}", "too deeply"},
      {changed(7), "must be a text"},
      {changed(nullptr), "must be a text"},
      {changed(Json::array({"model-00001-of-00002.safetensors"})), "must be a text"},
      {changed(""), "plain name"},
      {changed(".safetensors"), "plain name"},
      {changed("model.bin"), "plain name"},
      {changed("../model-00001-of-00002.safetensors"), "plain name"},
      {changed("/etc/passwd.safetensors"), "plain name"},
      {changed("./model-00001-of-00002.safetensors"), "plain name"},
      {changed("a/b.safetensors"), "plain name"},
      {changed("a\\b.safetensors"), "plain name"},
      {changed("..safetensors"), "plain name"},
      {changed(std::string("a\0b.safetensors", 15)), "plain name"},
      {changed(std::string(300, 'a') + ".safetensors"), "plain name"},
      {changed("model-00003-of-00002.safetensors"), "model-00003-of-00002.safetensors is damaged: it is missing"},
      {changed("model-00001-of-00002.safetensors"), "does not say to be there"},
      {without(), "does not say to be there"},
      {index_of([&] {
         Json other = map;
         other["more"] = "model-00001-of-00002.safetensors";
         return other;
       }()),
       "'more' is missing"},
  };
  for (const auto& [text, sentence] : cases) {
    INFO(text.substr(0, 200));
    write_index(text);
    CHECK_THROWS_AS(read_model_directory(scratch.path), DamagedFile);
    CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains(sentence));
  }
  std::filesystem::create_directory(scratch.path / "d.safetensors");
  write_index(changed("d.safetensors"));
  CHECK_THROWS_WITH(read_model_directory(scratch.path), Contains("d.safetensors"));
}

TEST_CASE("a manifest that is there is minded") {
  const ScratchDirectory scratch;
  const auto weights = numbers(gpt2_like);
  write_model_directory(scratch.path / "m", {"mine", gpt2_like, weights, nullptr}, StoredType::float32, Manifest::yes);
  const auto file = scratch.path / "m" / "model.safetensors";
  std::string bytes = read_small_file(file);
  bytes[bytes.size() - 9] = static_cast<char>(bytes[bytes.size() - 9] ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
  CHECK_THROWS_WITH(read_model_directory(scratch.path / "m"), Contains("checksum"));
  std::filesystem::remove(scratch.path / "m" / "manifest.json");
  CHECK_NOTHROW(read_model_directory(scratch.path / "m"));
}

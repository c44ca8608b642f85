// What lies beside a model: kept by import, export, checkpoints and GGUF; and what cannot be read or written, named.
#include <catch.hpp>

#include <cmath>
#include <fstream>

#include <scratch.hpp>
#include <tinygpt/exchange/cut_vocab.hpp>
#include <tinygpt/exchange/gguf.hpp>
#include <tinygpt/exchange/gguf_import.hpp>
#include <tinygpt/exchange/onnx.hpp>
#include <tinygpt/io/checkpoint.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;
using Ids = std::vector<std::int32_t>;

namespace {

const Config llama_like{.layers = 2,
                        .embd = 12,
                        .query_heads = 4,
                        .kv_heads = 2,
                        .ctx = 7,
                        .head_dim = 6,
                        .vocab = 300,
                        .ffn = 25,
                        .activation = swiglu,
                        .norm = rms,
                        .positions = rope,
                        .head = untied};

std::vector<float> numbers(const Config& config) {
  const ParamTable table(config);
  std::vector<float> arena(static_cast<std::size_t>(table.arena_size()));
  float next = 0;
  for (const ParamRow& row : table) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        arena[static_cast<std::size_t>(row.offset + l * row.stride + i)] = std::sin(next += 1);
      }
    }
  }
  return arena;
}

Tokenizer chat_tokenizer() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  tokens.insert(tokens.end(), 4, "");
  return Tokenizer(tokens, {}, Pattern::none,
                   {{"<|endoftext|>", 256}, {"<|im_start|>", 257}, {"<|im_end|>", 258}, {"<|eom|>", 259}});
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

const std::string chat = "{% for m in messages %}\n<|im_start|>{{ m['content'] }}<|im_end|>\r\n{% endfor %}\u00e9 \\n";

/// As somebody else's program writes a model.
std::filesystem::path foreign_model(const ScratchDirectory& scratch) {
  const auto path = scratch.path / "foreign";
  const auto weights = numbers(llama_like);
  const Tokenizer tokenizer = chat_tokenizer();
  write_model_directory(path, {"theirs", llama_like, weights, &tokenizer});
  Json config = read_json(path / "config.json");
  config.erase("tinygpt");
  config["eos_token_id"] = 258;
  config["bos_token_id"] = 257;
  config["pad_token_id"] = 259;
  config["attention_dropout"] = 0.1;
  config["auto_map"] = {{"AutoModel", "theirs.Model"}};
  write(path / "config.json", config.dump());
  write(path / "generation_config.json", R"({"eos_token_id": [258, 256], "temperature": 0.6, "do_sample": true})");
  write(path / "tokenizer_config.json",
        Json{{"eos_token", "<|im_end|>"}, {"chat_template", chat}, {"model_max_length", 7}}.dump());
  write(path / "special_tokens_map.json", R"({"eos_token": "<|im_end|>"})");
  return path;
}

/// f throws an error with this sentence, which advises no other copy.
template <class F> void expect_named(F&& f, const std::string& sentence) {
  std::string message;
  try {
    f();
  } catch (const Error& error) {
    message = error.what();
  }
  INFO(message);
  CHECK(message.find(sentence) != message.npos);
  CHECK(message.find("copy") == message.npos);
}

}  // namespace

TEST_CASE("what lies beside somebody's model is the same after import and export") {
  const ScratchDirectory scratch;
  const auto theirs = foreign_model(scratch);
  const LoadedModel model = read_model_directory(theirs);
  CHECK(model.companions.ends == std::vector<std::int64_t>{258, 256});
  CHECK(end_tokens(model.companions, *model.tokenizer) == Ids{258, 256});
  CHECK(begin_token(model.companions, *model.tokenizer) == 257);
  CHECK(chat_template(model.companions) == chat);
  write_model_directory(scratch.path / "imported", model.view(), StoredType::float32, Manifest::yes);
  write_model_directory(scratch.path / "exported", read_model_directory(scratch.path / "imported").view());
  for (const char* const copy : {"imported", "exported"}) {
    for (const char* const name : companions::names) {
      if (!std::filesystem::exists(theirs / name)) continue;
      INFO(copy << " " << name);
      CHECK(read_small_file(scratch.path / copy / name) == read_small_file(theirs / name));
    }
    const Json config = read_json(scratch.path / copy / "config.json");
    CHECK(config["eos_token_id"] == 258);
    CHECK(config["bos_token_id"] == 257);
    CHECK(config["pad_token_id"] == 259);
    CHECK(config["attention_dropout"] == 0.1);
    CHECK_FALSE(config.contains("auto_map"));
  }
}

TEST_CASE("a checkpoint keeps what lay beside the model that it began with") {
  const ScratchDirectory scratch;
  const auto theirs = foreign_model(scratch);
  const Companions said = read_companions(ModelReader(theirs));
  const auto w = numbers(llama_like);
  save_checkpoint(scratch.path / "step", "mine", llama_like, chat_tokenizer(), {w, w, w}, TrainerState{}, said);
  const Companions back = read_companions(ModelReader(scratch.path / "step"));
  CHECK(back.ends == said.ends);
  CHECK(back.files == said.files);
}

TEST_CASE("ids that end a text: a number, a list, null, only in one file, or only a name") {
  const ScratchDirectory scratch;
  const auto path = foreign_model(scratch);
  const auto ends = [&](const Json& in_config, const std::string& generation) {
    Json config = read_json(path / "config.json");
    config["eos_token_id"] = in_config;
    write(path / "config.json", config.dump());
    std::filesystem::remove(path / "generation_config.json");
    if (!generation.empty()) write(path / "generation_config.json", generation);
    return end_tokens(read_companions(ModelReader(path)), chat_tokenizer());
  };
  CHECK(ends(258, "") == Ids{258, 256});  // and the tokenizer's own
  CHECK(ends({258, 259}, "") == Ids{258, 259, 256});
  CHECK(ends(nullptr, R"({"eos_token_id": 259})") == Ids{259, 256});
  CHECK(ends(258, R"({"eos_token_id": [259, 258, 259]})") == Ids{259, 258, 256});
  CHECK(ends(258, R"({"eos_token_id": null})") == Ids{258, 256});
  CHECK(ends(50256, "") == Ids{256});  // beyond the tokenizer: no text has it
  CHECK(ends(-1, "") == Ids{256});
  CHECK(ends(nullptr, "{}") == Ids{258, 256});  // tokenizer_config.json's eos_token
  CHECK_THROWS_WITH(ends("x", ""), Contains("config.json") && Contains("'eos_token_id' must be a whole number"));
  CHECK_THROWS_WITH(ends(1.5, ""), Contains("'eos_token_id'"));
  CHECK_THROWS_WITH(ends(258, R"({"eos_token_id": [true]})"), Contains("generation_config.json"));
  CHECK_THROWS_WITH(ends(258, "[]"), Contains("generation_config.json"));
}

TEST_CASE("a GGUF file says where texts begin and end and how a chat is written, and brings it back") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "m.gguf";
  LoadedModel model = read_model_directory(foreign_model(scratch));
  model.companions.ends = {258, 259};
  write_gguf(path, model.view(), GgufType::f32);
  const GgufReader file(path);
  CHECK(file.whole("tokenizer.ggml.eos_token_id") == 258);
  CHECK(file.whole("tokenizer.ggml.eot_token_id") == 259);
  CHECK(file.whole("tokenizer.ggml.eom_token_id") == 256);
  CHECK(file.whole("tokenizer.ggml.bos_token_id") == 257);
  CHECK(file.whole("tokenizer.ggml.padding_token_id") == 259);
  CHECK(file.find("tokenizer.ggml.add_bos_token")->bits == 0);
  CHECK(file.text("tokenizer.chat_template") == chat);
  const LoadedModel back = read_gguf(path);
  CHECK(back.companions.ends == std::vector<std::int64_t>{258, 259, 256});
  CHECK(back.companions.begin == 257);
  CHECK(chat_template(back.companions) == chat);
  CHECK_FALSE(adds_begin(back.companions));
  write_model_directory(scratch.path / "back", back.view());
  CHECK(read_json(scratch.path / "back" / "generation_config.json")["eos_token_id"] == Json({258, 259, 256}));
  CHECK(read_json(scratch.path / "back" / "config.json")["eos_token_id"] == Json({258, 259, 256}));
  CHECK(read_small_file(scratch.path / "back" / "chat_template.jinja") == chat);
}

TEST_CASE("a token that a tokenizer puts before every text is put there after GGUF, too") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "m.gguf";
  LoadedModel model = read_model_directory(foreign_model(scratch));
  model.companions.files["tokenizer.json"] = tokenizer_json_text(*model.tokenizer, 257);
  CHECK(adds_begin(model.companions));
  write_gguf(path, model.view(), GgufType::f32);
  CHECK(GgufReader(path).find("tokenizer.ggml.add_bos_token")->bits == 1);
  const LoadedModel back = read_gguf(path);
  CHECK(adds_begin(back.companions));
  CHECK(*back.tokenizer == *model.tokenizer);
}

TEST_CASE("weights that a type cannot hold are refused before anything is written, by tensor and number") {
  const ScratchDirectory scratch;
  const auto out = scratch.path / "out";
  LoadedModel model{"m", llama_like, numbers(llama_like), std::nullopt};
  const ParamTable table(llama_like);
  const ParamRow& row = table[Param::norm2_weight];
  float& weight = model.weights[static_cast<std::size_t>(row.offset + row.stride + 3)];
  const auto write_all = [&](StoredType type) {
    write_model_directory(out, model.view(), type);
    std::filesystem::remove_all(out);
    write_onnx(out, model.view(), OnnxCache::without, {.weights = type});
    std::filesystem::remove_all(out);
  };
  const auto refused = [&](StoredType type, const char* number) {
    const std::string tensor = "'model.layers.1.post_attention_layernorm.weight'";
    CHECK_THROWS_WITH(write_model_directory(out, model.view(), type),
                      Contains(tensor) && Contains(number) && Contains("number 3 of it"));
    CHECK_THROWS_WITH(write_onnx(out, model.view(), OnnxCache::with, {.weights = type}),
                      Contains(tensor) && Contains(number) && Contains("number 3 of it"));
    CHECK_FALSE(std::filesystem::exists(out));
  };
  using enum StoredType;
  for (const float good : {65504.0f, -65504.0f, 1e-30f}) weight = good, write_all(float16);
  for (const float large : {65505.0f, -7e4f, 1e5f, 3e38f}) {
    weight = large;
    refused(float16, "float16 cannot hold");
    write_all(float32), write_all(bfloat16);
  }
  weight = 3.4e38f;
  refused(bfloat16, "bfloat16 cannot hold");
  write_all(float32);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    weight = bad;
    for (const StoredType type : {float32, bfloat16, float16}) refused(type, "no model can compute with");
  }
}

TEST_CASE("a vocabulary is cut to its tokenizer, and what is left computes as before") {
  for (const HeadKind head : {tied, untied}) {
    Config config = llama_like;
    config.head = head;
    LoadedModel model{"m", config, numbers(config), chat_tokenizer()};
    const std::vector<float> before = model.weights;
    CHECK(unused_ids(model) == 40);
    cut_vocab(model);
    CHECK(model.config.vocab == 260);
    CHECK(unused_ids(model) == 0);
    const ParamTable old_table(config), table(model.config);
    CHECK(model.weights.size() == static_cast<std::size_t>(table.arena_size()));
    for (const ParamRow& row : table) {
      for (std::int64_t l = 0; l < row.layers; ++l) {
        const auto size = static_cast<std::ptrdiff_t>(row.layer_size());
        const auto now = model.weights.begin() + (row.offset + l * row.stride);
        CAPTURE(row.name, l);
        CHECK(std::equal(now, now + size, before.begin() + (old_table[row.id].offset + l * old_table[row.id].stride)));
      }
    }
  }
}

TEST_CASE("weights of another format, wrapped names and types that are not read are named, not called damaged") {
  const ScratchDirectory scratch;
  const auto path = foreign_model(scratch);
  const auto file = path / "model.safetensors";
  const std::string bytes = read_small_file(file);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const std::string header = bytes.substr(8, length), data = bytes.substr(8 + length);
  const auto refused = [&](const std::string& sentence) {
    expect_named([&] { read_model_directory(path); }, sentence);
  };
  const auto with_header = [&](const Json& changed, const std::string& all) {
    const std::string text = changed.dump();
    const std::uint64_t size = text.size();
    write(file, std::string(reinterpret_cast<const char*>(&size), 8) + text + all);
  };
  for (const std::string prefix : {"_orig_mod.", "module.", "module._orig_mod.", "base_model.model."}) {
    const Json plain = Json::parse(header);
    Json wrapped;
    for (const auto& [name, entry] : plain.items()) {
      wrapped[name == "__metadata__" ? name : prefix + name] = entry;
    }
    with_header(wrapped, data);
    refused("begin with '" + prefix + "'");
  }
  Json other = Json::parse(header);
  other["score.weight"] = {{"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {data.size(), data.size() + 4}}};
  with_header(other, data + "1234");
  refused("does not go with config.json: it has a tensor 'score.weight'");
  Json metadata = Json::parse(header);
  metadata["__metadata__"] = nullptr;
  metadata["nothing"] = {{"dtype", "F32"}, {"shape", {0, 4}}, {"data_offsets", {data.size(), data.size()}}};
  with_header(metadata, data);
  CHECK(read_model_directory(path).weights == numbers(llama_like));
  Json wide = Json::parse(header);
  const std::size_t norm = wide["model.norm.weight"]["data_offsets"][0];
  for (auto& [name, entry] : wide.items()) {
    if (name == "__metadata__") continue;
    for (auto& offset : entry["data_offsets"]) {
      if (offset > norm) offset = offset.get<std::size_t>() + 48;
    }
  }
  wide["model.norm.weight"]["dtype"] = "F64";
  with_header(wide, data.substr(0, norm) + std::string(48, '\0') + data.substr(norm));
  refused("'model.norm.weight' has the type F64");
  std::filesystem::remove(file);
  for (const char* const name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5"}) {
    write(path / name, "x");
    refused(name);
    std::filesystem::remove(path / name);
  }
}

TEST_CASE("a gap in the ids of a tokenizer is named as one") {
  Json json = Json::parse(tokenizer_json_text(chat_tokenizer()));
  json["added_tokens"][3]["id"] = 300u;
  json["model"]["vocab"].erase("<|eom|>");
  expect_named([&] { tokenizer_from_json(json, "t.json"); }, "'<|eom|>' has the id 300");
}

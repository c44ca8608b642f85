#include <catch.hpp>

#include <fstream>
#include <limits>

#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

using Small = GPT<Layers<3>, Embd<6>, Heads<2>, Ctx<5>, Vocab<11>, Bias<all>, Head<untied>>;
using Modern = GPT<Layers<2>, Embd<12>, Heads<2, 1>, Ctx<9>, HeadDim<8>, Ffn<20>, Activation<swiglu>, Norm<rms>,
                   Positions<rope, 500'000>, QkNorm, Bias<attn_in | ffn | head>>;

struct Scratch {
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "tinygpt-checkpoint-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw file_error("create", name, errno);
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

/// An arena that holds 1, 2, 3, ... where parameters are, and 0 in the gaps between them.
std::vector<float> counted(const ParamTable& table, float first) {
  std::vector<float> arena(static_cast<std::size_t>(table.arena_size()));
  for (const auto& tensor : stacked_tensors(table)) {
    for (const ArenaMatrix& part : tensor.parts) {
      for (std::int64_t i = 0; i < part.size(); ++i) arena[static_cast<std::size_t>(part.offset + i)] = first++;
    }
  }
  return arena;
}

TrainerState some_state() {
  TrainerState state;
  state.iteration = 120;
  state.updates = 117;
  state.skipped = 3;
  state.options.learning_rate = 1.0 / 3;
  state.options.dropout = 0.1;
  state.options.seed = ~std::uint64_t{0};
  state.checkpoint_interval = 40;
  state.best_validation_loss = 0.1 + 0.2;
  state.data_bytes = 4'137'850;
  state.data_crc32c = 0x00ABCDEFu;
  return state;
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// As it would come from a file.
Json reread(const Json& json) { return Json::parse(json.dump()); }

struct BadJson {
  const char* field;
  Json value;  // null: the field is removed
  const char* sentence;
};

}  // namespace

TEST_CASE("an architecture is written as its user would write it") {
  CHECK(type_text(Small::config) == "GPT<Layers<3>, Embd<6>, Heads<2>, Ctx<5>, Vocab<11>, Bias<all>, Head<untied>>");
  CHECK(type_text(Modern::config) ==
        "GPT<Layers<2>, Embd<12>, Heads<2, 1>, Ctx<9>, HeadDim<8>, Ffn<20>, Activation<swiglu>, Norm<rms>, "
        "Positions<rope, 500000>, QkNorm, Bias<attn_in | ffn | head>>");
  CHECK(type_text(GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>>::config) ==
        "GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>>");
  CHECK(type_text(GPT<Layers<1>, Embd<6>, Heads<1>, Ctx<1>, Activation<swiglu>, Ffn<16>, Positions<none>>::config) ==
        "GPT<Layers<1>, Embd<6>, Heads<1>, Ctx<1>, Activation<swiglu>, Positions<none>>");
  CHECK(type_text(GPT<Layers<1>, Embd<6>, Heads<1>, Ctx<1>, Norm<rms, 1e-5>>::config) ==
        "GPT<Layers<1>, Embd<6>, Heads<1>, Ctx<1>, Norm<rms, 1e-5>>");
  CHECK(type_text(GPT<Layers<1>, Embd<6>, Heads<1>, Ctx<1>, Norm<layer, 0.00025>>::config) ==
        "GPT<Layers<1>, Embd<6>, Heads<1>, Ctx<1>, Norm<layer, 0.00025>>");
}

TEST_CASE("an architecture survives JSON, with every set of biases") {
  CHECK(config_from_json(config_to_json(Small::config), "x") == Small::config);
  CHECK(config_from_json(config_to_json(Modern::config), "x") == Modern::config);
  for (unsigned set = 0; set < 16; ++set) {
    Config config = Small::config;
    config.bias = static_cast<BiasSet>(set);
    CHECK(config_from_json(config_to_json(config), "x") == config);
  }
  Config config = Modern::config;
  config.norm_eps = 1.5e-5;
  CHECK(config_from_json(reread(config_to_json(config)), "x") == config);
}

TEST_CASE("an architecture of before there was a choice of the epsilon has its norm's own") {
  for (const Config& config : {Small::config, Modern::config}) {
    Json json = config_to_json(config);
    json.erase("norm_eps");
    CHECK(config_from_json(json, "x") == config);
  }
}

TEST_CASE("every bad architecture file is refused in one sentence that names the field") {
  const std::vector<BadJson> cases{
      {"layers", nullptr, "'layers' is missing"},
      {"layers", 0, "1 or more"},
      {"layers", -1, "1 or more"},
      {"layers", 1.5, "whole number"},
      {"layers", "4", "whole number"},
      {"layers", true, "whole number"},
      {"embd", 4294967296, "smaller number"},
      {"ctx", std::numeric_limits<std::uint64_t>::max(), "smaller number"},
      {"vocab", std::numeric_limits<std::int64_t>::min(), "larger number"},
      {"ffn", Json::array(), "whole number"},
      {"activation", nullptr, "'activation' is missing"},
      {"activation", "GELU", "one of relu, gelu, gelu_tanh, swiglu"},
      {"activation", 1, "a text"},
      {"norm", "batch", "one of layer, rms"},
      {"norm_eps", 0, "'norm_eps' must be a number from 1e-12 to 0.1"},
      {"norm_eps", 1, "'norm_eps' must be a number from 1e-12 to 0.1"},
      {"norm_eps", "1e-5", "a number"},
      {"positions", "alibi", "one of learned, rope, none"},
      {"head", "", "one of tied, untied"},
      {"qk_norm", 1, "true or false"},
      {"qk_norm", "true", "true or false"},
      {"bias", "attn_in|ffn", "'bias' must be"},
      {"bias", "all | ffn", "'bias' must be"},
      {"bias", Json::array({"ffn"}), "a text"},
  };
  for (const auto& bad : cases) {
    INFO(bad.field << " " << bad.value.dump());
    Json json = config_to_json(Small::config);
    if (bad.value.is_null())
      json.erase(bad.field);
    else
      json[bad.field] = bad.value;
    CHECK_THROWS_WITH(config_from_json(reread(json), "dir/config.json"),
                      Contains("dir/config.json") && Contains(bad.sentence));
  }
}

TEST_CASE("a trainer's state survives JSON to the last bit") {
  const TrainerState state = some_state();
  const Json json = Json::parse(json_text(trainer_state_to_json(state)));
  const TrainerState back = trainer_state_from_json(json, "x");
  CHECK(trainer_state_to_json(back) == trainer_state_to_json(state));
  CHECK(back.options.learning_rate == state.options.learning_rate);
  CHECK(back.options.seed == state.options.seed);
  CHECK(back.best_validation_loss == state.best_validation_loss);
  CHECK_FALSE(back.last_validation_loss);
  for (const auto& bad : std::vector<BadJson>{{"iteration", 121, "sum"},
                                              {"updates", -1, "a number from 0 to 2^40"},
                                              {"skipped", nullptr, "missing"},
                                              {"options", 3, "an object"},
                                              {"options", Json::object(), "'max_iters' is missing"},
                                              {"checkpoint_interval", 0, "1 or more"},
                                              {"data", nullptr, "missing"},
                                              {"data", {{"bytes", 1}, {"crc32c", "xyz"}}, "hexadecimal"},
                                              {"format_version", 9, "newer"},
                                              {"best_validation_loss", "low", "a number"}}) {
    Json damaged_json = json;
    if (bad.value.is_null())
      damaged_json.erase(bad.field);
    else
      damaged_json[bad.field] = bad.value;
    CHECK_THROWS_WITH(trainer_state_from_json(reread(damaged_json), "s.json"),
                      Contains("s.json") && Contains(bad.sentence));
  }
}

TEMPLATE_TEST_CASE("a checkpoint gives back every parameter and moment, and no alignment gap is in the file", "", Small,
                   Modern) {
  const Scratch scratch;
  const auto directory = scratch.path / "step-000120";
  constexpr const ParamTable& table = TestType::params;
  const auto w = counted(table, 1), m = counted(table, -5'000'000), v = counted(table, 0.25f);
  save_checkpoint(directory, "test", TestType::config, Tokenizer::characters("abc"), {w, m, v}, some_state());

  std::vector<float> w2(w.size()), m2(w.size()), v2(w.size());
  CHECK(load_model(directory, TestType::config, w2) == Tokenizer::characters("abc"));
  load_moments(directory, TestType::config, m2, v2);
  CHECK(w2 == w);
  CHECK(m2 == m);
  CHECK(v2 == v);
  CHECK(trainer_state_to_json(load_trainer_state(directory, TestType::config)) == trainer_state_to_json(some_state()));

  const SafetensorsReader reader(directory / "model.safetensors");
  CHECK(reader.entries().back().end == table.param_count() * 4);
  const Json config = read_json(directory / "config.json");
  CHECK(config["tinygpt"]["type"] == type_text(TestType::config));
  const auto shape_of = [&](const std::string& name) {
    for (const auto& entry : reader.entries()) {
      if (entry.name == name) return entry.shape;
    }
    return std::vector<std::int64_t>{};
  };
  const std::int64_t L = TestType::config.layers, Q = TestType::config.qkv_width(), C = TestType::config.embd;
  if (std::is_same_v<TestType, Small>) {  // as transformers has it
    CHECK(config["model_type"] == "gpt2");
    CHECK(shape_of("transformer.h.2.attn.c_attn.weight") == std::vector<std::int64_t>{C, Q});
  } else {  // a bias on the head is not known there
    CHECK(config["model_type"] == "tinygpt");
    CHECK(reader.entries().size() == static_cast<std::size_t>(table.size()));
    CHECK(shape_of("qkv.weight") == std::vector<std::int64_t>{L, Q, C});
  }
}

TEST_CASE("a model of another architecture is refused, and the fields that differ are named") {
  const Scratch scratch;
  const auto w = counted(Small::params, 1);
  save_checkpoint(scratch.path / "m", "test", Small::config, Tokenizer::characters("abc"), {w, w, w}, some_state());
  Config other = Small::config;
  other.layers = 4;
  other.norm = rms;
  std::vector<float> into(static_cast<std::size_t>(ParamTable(other).arena_size()));
  CHECK_THROWS_WITH(load_model(scratch.path / "m", other, into),
                    Contains("layers 3, here 4") && Contains("norm layer, here rms") && Contains("tinygpt generate --model") &&
                        Contains("tinygpt_add_preset(test TYPE \"GPT<Layers<3>"));
}

TEST_CASE("a model with another tokenizer than it was trained with is refused, and one with more tokens than ids") {
  const Scratch scratch;
  const auto w = counted(Small::params, 1);
  const auto save = [&](const char* name, const Tokenizer& tokenizer) {
    save_checkpoint(scratch.path / name, "test", Small::config, tokenizer, {w, w, w}, some_state());
    return scratch.path / name;
  };
  // Another config.json that goes with its own manifest: nothing but the hash shows that the files do not belong
  // together.
  const auto mixed = save("mixed", Tokenizer::characters("abc")), other = save("other", Tokenizer::characters("abd"));
  auto manifest = Json::parse(read_small_file(mixed / "manifest.json"));
  manifest["files"]["tokenizer.json"] =
      Json::parse(read_small_file(other / "manifest.json"))["files"]["tokenizer.json"];
  manifest["crc32c"] = model_files::manifest_crc(manifest);
  write_text(mixed / "manifest.json", manifest.dump());
  std::filesystem::copy_file(other / "tokenizer.json", mixed / "tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  std::vector<float> into(w.size());
  CHECK_NOTHROW(load_model(other, Small::config, into));
  CHECK_THROWS_WITH(
      load_model(mixed, Small::config, into),
      Contains("tokenizer.json") && Contains("another tokenizer than the one that the model was trained with"));
  const auto large = save("large", Tokenizer::bytes());
  CHECK_THROWS_WITH(load_model(large, Small::config, into), Contains("256 tokens") && Contains("room for 11"));
}

TEST_CASE("any flipped bit, cut or missing file of a checkpoint is found and named") {
  const Scratch scratch;
  const auto w = counted(Small::params, 1);
  const auto good = scratch.path / "good";
  save_checkpoint(good, "test", Small::config, Tokenizer::characters("abc"), {w, w, w}, some_state());
  const auto load = [&](const std::filesystem::path& path) {
    std::vector<float> a(w.size()), b(w.size());
    load_model(path, Small::config, a);
    load_trainer_state(path, Small::config);
    load_moments(path, Small::config, a, b);
  };
  CHECK_NOTHROW(load(good));
  for (const char* name :
       {"config.json", "tokenizer.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json"}) {
    const std::string content = read_small_file(good / name);
    const auto refused = [&](const std::string& change) {
      INFO(name << ": " << change);
      CHECK_THROWS_AS(load(good), DamagedFile);
      CHECK_THROWS_WITH(load(good), Contains(name));
    };
    for (std::size_t at = 0; at < content.size(); at += 1 + content.size() / 40) {
      std::string flipped = content;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << at % 8);
      write_text(good / name, flipped);
      refused("bit of byte " + std::to_string(at));
    }
    for (const std::size_t size : {std::size_t{0}, std::size_t{7}, content.size() / 2, content.size() - 1}) {
      write_text(good / name, content.substr(0, size));
      refused("cut to " + std::to_string(size));
    }
    write_text(good / name, content + "\n");
    refused("one byte more");
    std::filesystem::remove(good / name);
    refused("removed");
    std::filesystem::create_directory(good / name);
    refused("a directory");
    std::filesystem::remove(good / name);
    write_text(good / name, content);
  }
  CHECK_NOTHROW(load(good));
  std::filesystem::remove(good / "manifest.json");
  CHECK_THROWS_WITH(load(good), Contains("manifest.json is missing"));
}

TEST_CASE("bad JSON files are refused before they can do harm") {
  for (const auto& [text, sentence] : std::vector<std::pair<std::string, std::string>>{
           {"", "not JSON"},
           {"nonsense", "not JSON"},
           {"[]", "not an object"},
           {"3", "not an object"},
           {"{\"a\":1,}", "not JSON"},
           {"{\"a\":1} {}", "not JSON"},
           {"{\"a\":01}", "not JSON"},
           {"{\"a\":NaN}", "not JSON"},
           {"{\"a\":1e999}", "out of range"},
           {"{\"a\":1,\"a\":2}", "twice"},
           {"{\"a\":{\"b\":1,\"b\":1}}", "twice"},
           {"{\"a\":\"\xFF\"}", "not UTF-8"},
           {std::string("{\"a\":1}\0", 8), "not JSON"},
           {std::string(100'000, '{'), "not JSON"},
           {"{\"a\":" + std::string(100'000, '['), "too deeply"},
       }) {
    INFO(text.substr(0, 60));
    CHECK_THROWS_WITH(parse_json(text, "file.json"), Contains("file.json") && Contains(sentence));
  }
  CHECK(parse_json("{\"a\":{\"x\":1},\"b\":{\"x\":1}}", "x").size() == 2);
}

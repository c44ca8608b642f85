// config.json of Hugging Face transformers, both ways, and everything in it that is refused.
#include <catch.hpp>

#include <functional>

#include <counted_memory.hpp>
#include <tinygpt/io/model_config.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

// As transformers 5.23.0 writes them, shortened to what says something of the architecture.
const char* const gpt2_text = R"({
  "activation_function": "gelu_new", "add_cross_attention": false, "architectures": ["GPT2LMHeadModel"],
  "attn_pdrop": 0.1, "bos_token_id": 50256, "dtype": "float32", "embd_pdrop": 0.1, "eos_token_id": 50256,
  "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_embd": 768, "n_head": 12,
  "n_inner": null, "n_layer": 12, "n_positions": 1024, "pad_token_id": null, "reorder_and_upcast_attn": false,
  "resid_pdrop": 0.1, "scale_attn_by_inverse_layer_idx": false, "scale_attn_weights": true,
  "tie_word_embeddings": true, "use_cache": true, "vocab_size": 50257})";
const char* const llama_text = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 1,
  "dtype": "bfloat16", "eos_token_id": [2, 3], "head_dim": 64, "hidden_act": "silu", "hidden_size": 576,
  "intermediate_size": 1536, "max_position_embeddings": 2048, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1,
  "rms_norm_eps": 1e-06, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
  "tie_word_embeddings": true, "vocab_size": 49152})";
const char* const qwen3_text = R"({
  "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128, "hidden_act": "silu",
  "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
  "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
  "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
  "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 151936})";

Config read(const Json& json) { return config_from_hf(json, "dir/config.json"); }

Config with(Config config, const std::function<void(Config&)>& change) {
  change(config);
  return config;
}

}  // namespace

TEST_CASE("GPT-2, SmolLM's and Qwen3's published configurations are the types that they are") {
  CHECK(type_text(read(Json::parse(gpt2_text))) ==
        "GPT<Layers<12>, Embd<768>, Heads<12>, Ctx<1024>, Vocab<50257>, Activation<gelu_tanh>, Bias<all>>");
  CHECK(ParamTable(read(Json::parse(gpt2_text))).param_count() == 124'439'808);
  CHECK(type_text(read(Json::parse(llama_text))) ==
        "GPT<Layers<30>, Embd<576>, Heads<9, 3>, Ctx<2048>, Vocab<49152>, Activation<swiglu>, Norm<rms>, "
        "Positions<rope>>");
  CHECK(ParamTable(read(Json::parse(llama_text))).param_count() == 134'515'008);
  CHECK(type_text(read(Json::parse(qwen3_text))) ==
        "GPT<Layers<28>, Embd<1024>, Heads<16, 8>, Ctx<40960>, HeadDim<128>, Vocab<151936>, Ffn<3072>, "
        "Activation<swiglu>, Norm<rms>, Positions<rope, 1000000>, QkNorm>");
  CHECK(ParamTable(read(Json::parse(qwen3_text))).param_count() == 596'049'920);
}

TEST_CASE("every architecture that transformers knows comes back from its config.json, with its biases and its name") {
  const Config gpt2 = read(Json::parse(gpt2_text)), llama = read(Json::parse(llama_text)),
               qwen3 = read(Json::parse(qwen3_text));
  std::vector<Config> configs{gpt2, llama, qwen3};
  for (unsigned set = 0; set < 8; ++set) {
    configs.push_back(with(gpt2, [&](Config& c) { c.bias = static_cast<BiasSet>(set); }));
    configs.push_back(with(llama, [&](Config& c) { c.bias = static_cast<BiasSet>(set); }));
  }
  for (const ActivationKind kind : {relu, gelu, gelu_tanh}) {
    configs.push_back(with(gpt2, [&](Config& c) { c.activation = kind; }));
  }
  configs.push_back(with(qwen3, [](Config& c) { c.bias = attn_in | attn_out; }));
  configs.push_back(with(gpt2, [](Config& c) { c.head = untied, c.ffn = 1000; }));
  configs.push_back(with(llama, [](Config& c) { c.head = untied, c.rope_base = 500'000, c.head_dim = 32; }));
  for (const Config& base : {gpt2, llama, qwen3}) configs.push_back(with(base, [](Config& c) { c.norm_eps = 2e-4; }));
  int theirs = 0;
  for (const Config& config : configs) {
    INFO(type_text(config));
    const auto json = Json::parse(model_config_json(config, "some", StoredType::bfloat16, nullptr).dump());
    const ModelConfig back = model_config_from_json(json, "config.json");
    CHECK(back.config == config);
    CHECK(back.name == "some");
    CHECK(back.layout == layout_of(config));
    theirs += back.layout == TensorLayout::transformers;
  }
  CHECK(theirs == 24);  // all but four sets of biases of Llama's
}

TEST_CASE("what somebody changed in transformers counts, and our own word is then left aside") {
  Config config = read(Json::parse(gpt2_text));
  config.bias = BiasSet::none;
  auto json = Json::parse(model_config_json(config, "mine", StoredType::float32, nullptr).dump());
  json["vocab_size"] = 50300;
  const ModelConfig said = model_config_from_json(json, "config.json");
  CHECK(said.config.vocab == 50300);
  CHECK(said.config.bias == BiasSet::all);
  CHECK_FALSE(said.biases_known);
  CHECK(said.name == "mine");
  json.erase("tinygpt");
  CHECK(model_config_from_json(json, "some/dir/config.json").name == "dir");
}

TEST_CASE("both spellings of RoPE's base are read, and both are written") {
  for (const char* const change : {
           R"({"rope_parameters": null, "rope_theta": 20000})",
           R"({"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}})",
           R"({"rope_parameters": {"rope_theta": 20000.0}})",
           R"({"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}, "rope_theta": 20000})",
           R"({"rope_parameters": null, "rope_scaling": {"type": "default"}, "rope_theta": 20000.0})",
           R"({"rope_parameters": {"rope_theta": 20000, "partial_rotary_factor": 1.0}})",
       }) {
    INFO(change);
    Json json = Json::parse(llama_text);
    json.update(Json::parse(change));
    CHECK(read(json).rope_base == 20'000);
  }
  Json json = Json::parse(llama_text);
  json.erase("rope_parameters");
  CHECK(read(json).rope_base == 10'000);
  const auto written = hf_config_json(read(Json::parse(qwen3_text)), StoredType::float16, 7);
  CHECK(written["rope_theta"] == 1e6);
  CHECK(written["rope_parameters"]["rope_theta"] == 1e6);
  CHECK(written["torch_dtype"] == "float16");
  CHECK(written["dtype"] == "float16");
  CHECK(written["eos_token_id"] == 7);
}

TEST_CASE("the epsilon of norms is read, and is the same number where float32 has kept it") {
  const auto type = [](const char* text, const char* change) {
    Json json = Json::parse(text);
    json.update(Json::parse(change));
    return type_text(read(json));
  };
  CHECK_THAT(type(llama_text, R"({"rms_norm_eps": 1e-05})"), Contains("Norm<rms, 1e-5>"));
  CHECK_THAT(type(llama_text, R"({"rms_norm_eps": 9.999999747378752e-06})"), Contains("Norm<rms, 1e-5>"));
  CHECK_THAT(type(llama_text, R"({"rms_norm_eps": 9.999999974752427e-07})"), Contains("Norm<rms>"));
  CHECK_THAT(type(llama_text, R"({"rms_norm_eps": null})"), Contains("Norm<rms>"));
  CHECK_THAT(type(qwen3_text, R"({"rms_norm_eps": 0.1})"), Contains("Norm<rms, 0.1>"));
  CHECK_THAT(type(gpt2_text, R"({"layer_norm_epsilon": 1e-12})"), Contains("Norm<layer, 1e-12>"));
  CHECK_THAT(type(gpt2_text, R"({"layer_norm_epsilon": 0.00001})"), !Contains("Norm<"));
}

TEST_CASE("what would be computed differently here, or is no configuration, is refused by a sentence") {
  struct Bad {
    const char *base, *change, *sentence;
  };
  const std::vector<Bad> cases{
      {gpt2_text, R"({"model_type": "gpt_neo"})", "gpt2, llama and qwen3"},
      {gpt2_text, R"({"model_type": null})", "'model_type' must be a text"},
      {gpt2_text, R"({"architectures": ["GPT2ForSequenceClassification"]})", "GPT2ForSequenceClassification"},
      {gpt2_text, R"({"architectures": "GPT2LMHeadModel"})", "list of one text"},
      {gpt2_text, R"({"architectures": []})", "list of one text"},
      {gpt2_text, R"({"activation_function": "silu"})", "activation is 'silu'"},
      {gpt2_text, R"({"activation_function": "quick_gelu"})", "quick_gelu"},
      {gpt2_text, R"({"layer_norm_epsilon": 0})", "'layer_norm_epsilon' must be a number from 1e-12 to 0.1"},
      {gpt2_text, R"({"layer_norm_epsilon": -1e-05})", "'layer_norm_epsilon' must be a number from 1e-12"},
      {gpt2_text, R"({"layer_norm_epsilon": "small"})", "a number"},
      {gpt2_text, R"({"scale_attn_weights": false})", "'scale_attn_weights' is false"},
      {gpt2_text, R"({"scale_attn_by_inverse_layer_idx": true})", "'scale_attn_by_inverse_layer_idx' is true"},
      {gpt2_text, R"({"add_cross_attention": true})", "'add_cross_attention' is true"},
      {gpt2_text, R"({"quantization_config": {"bits": 4}})", "quantised"},
      {gpt2_text, R"({"n_layer": 0})", "'n_layer' must be from 1"},
      {gpt2_text, R"({"n_layer": -1})", "'n_layer' must be from 1"},
      {gpt2_text, R"({"n_layer": 10001})", "'n_layer' must be from 1 to 10000"},
      {gpt2_text, R"({"n_layer": 4294967297})", "smaller number"},
      {gpt2_text, R"({"n_layer": 1.5})", "whole number"},
      {gpt2_text, R"({"n_layer": "12"})", "whole number"},
      {gpt2_text, R"({"n_layer": null})", "whole number"},
      {gpt2_text, R"({"n_embd": 770})", "'n_embd' must be a multiple"},
      {gpt2_text, R"({"vocab_size": 18446744073709551615})", "smaller number"},
      {gpt2_text, R"({"n_inner": 0})", "'n_inner' must be from 1"},
      {gpt2_text, R"({"tie_word_embeddings": 1})", "true or false"},
      {gpt2_text, R"({"tinygpt": []})", "'tinygpt' must be an object"},
      {gpt2_text, R"({"tinygpt": {"format_version": 3}})", "newer tinygpt"},
      {llama_text, R"({"hidden_act": "gelu"})", "activation is 'gelu'"},
      {llama_text, R"({"rms_norm_eps": 1e-300})", "'rms_norm_eps' must be a number from 1e-12 to 0.1"},
      {llama_text, R"({"rms_norm_eps": 1e300})", "'rms_norm_eps' must be a number from 1e-12 to 0.1"},
      {llama_text, R"({"rms_norm_eps": [1e-05]})", "a number"},
      {llama_text, R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}})", "of type 'llama3'"},
      {llama_text, R"({"rope_scaling": {"type": "linear", "factor": 2.0}})", "of type 'linear'"},
      {llama_text, R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}})", "of type 'yarn'"},
      {llama_text, R"({"rope_parameters": 10000})", "an object"},
      {llama_text, R"({"rope_parameters": {"full_attention": {"rope_theta": 20000.0}}})", "several kinds"},
      {llama_text, R"({"rope_theta": 500000})", "two different values"},
      {llama_text, R"({"rope_parameters": {"rope_theta": 0.5}})", "whole number from 1"},
      {llama_text, R"({"rope_parameters": {"rope_theta": 1e10}})", "whole number from 1"},
      {llama_text, R"({"rope_parameters": {"rope_theta": 10000.5}})", "whole number from 1"},
      {llama_text, R"({"partial_rotary_factor": 0.5})", "only a part of each head"},
      {llama_text, R"({"num_key_value_heads": 2})", "must divide"},
      {llama_text, R"({"head_dim": 63})", "must be even"},
      {llama_text, R"({"head_dim": null, "hidden_size": 577})", "'hidden_size' must be a multiple"},
      {llama_text, R"({"sliding_window": 100})", "sliding window"},
      {llama_text, R"({"layer_types": ["full_attention", "sliding_attention"]})", "layer_types"},
      {llama_text, R"({"num_attention_heads": 99999, "num_key_value_heads": 99999})", "wider than"},
      {qwen3_text, R"({"use_sliding_window": true, "sliding_window": 4096})", "sliding window"},
      {qwen3_text, R"({"mlp_bias": true})", "mlp_bias"},
  };
  CHECK(cases.size() >= 25);
  for (const Bad& bad : cases) {
    INFO(bad.change);
    Json json = Json::parse(bad.base);
    json.update(Json::parse(bad.change));
    CHECK_THROWS_AS(model_config_from_json(json, "dir/config.json"), Error);
    CHECK_THROWS_WITH(model_config_from_json(json, "dir/config.json"),
                      Contains("dir/config.json") && Contains(bad.sentence));
    const std::string text = json.dump();
    CHECK(peak_bytes_of([&] { model_config_from_json(parse_json(text, "dir/config.json"), "dir/config.json"); }) <=
          most_bytes_for(text.size()));
  }
  for (const char* const text : {gpt2_text, llama_text, qwen3_text}) {
    for (const char* const key : {"n_layer", "hidden_size", "vocab_size", "max_position_embeddings", "n_positions"}) {
      Json json = Json::parse(text);
      if (json.erase(key) == 1) CHECK_THROWS_WITH(read(json), Contains(std::string("'") + key + "' is missing"));
    }
  }
}

TEST_CASE("a sliding window that is not used is none") {
  for (const char* const change : {R"({"sliding_window": 4096})", R"({"use_sliding_window": true})",
                                   R"({"use_sliding_window": true, "sliding_window": 40960})",
                                   R"({"layer_types": ["full_attention", "full_attention"]})"}) {
    INFO(change);
    Json json = Json::parse(qwen3_text);
    json.update(Json::parse(change));
    CHECK_NOTHROW(read(json));
  }
}

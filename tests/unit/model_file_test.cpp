// Models in JSON: what is right is read, what is wrong is named with its line and the nearest right value.
#include <chrono>
#include <string>

#include <tinygpt/io/model_file.hpp>
#include <tinygpt/layout/memory.hpp>
#include <tinygpt/presets/all.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

/// A right config, one key per line from line 2, with one line changed, or one added at the end for a key not in it.
std::string with(const std::string& key, const std::string& value) {
  std::vector<std::pair<std::string, std::string>> lines{
      {"n_layer", "8"},      {"n_embd", "768"}, {"n_head", "12"},   {"block_size", "512"},
      {"vocab_size", "500"}, {"bias", "false"}, {"dropout", "0.1"}, {"batch_size", "16"}};
  bool found = false;
  for (auto& [k, v] : lines) {
    if (k == key) v = value, found = true;
  }
  if (!found && !key.empty()) lines.emplace_back(key, value);
  std::string text = "{\n";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    text += "  \"" + lines[i].first + "\": " + lines[i].second + (i + 1 < lines.size() ? ",\n" : "\n}\n");
  }
  return text;
}

TEST_CASE("a right config is read, comments and all") {
  const ModelFile file = parse_model_file(with("comment_on_this", "[1, {\"deep\": 2}]"));
  REQUIRE(file.mistakes.empty());
  CHECK(type_text(file.config) == "GPT<Layers<8>, Embd<768>, Heads<12>, Ctx<512>, Vocab<500>>");
  CHECK(file.training.batch_size == 16);
  CHECK(file.training.dropout == 0.1);
}

TEST_CASE("every word of the file has its meaning") {
  const auto config = [](const char* key, const char* value) {
    const ModelFile file = parse_model_file(with(key, value));
    REQUIRE(file.mistakes.empty());
    return file.config;
  };
  CHECK(config("bias", "true").bias == BiasSet::all);
  CHECK(config("tie_weights", "false").head == untied);
  CHECK(config("mlp_type", "\"swiglu\"").ffn == 2048);
  CHECK(config("mlp_type", "\"relu\"").activation == relu);
  CHECK(config("norm_type", "\"rmsnorm\"").norm == rms);
  CHECK(config("norm_type", "\"rmsnorm\"").norm_eps == 1e-6);
  CHECK(config("norm_type", "\"rmsnorm\", \"norm_eps\": 1e-5").norm_eps == 1e-5);
  CHECK(config("norm_eps", "0.001").norm_eps == 1e-3);
  CHECK(config("pos_encoding", "\"rope\"").positions == rope);
  CHECK(config("n_kv_head", "4").kv_heads == 4);
  CHECK(config("ffn_hidden", "1000").ffn == 1000);
  CHECK(config("qk_norm", "true").qk_norm);
  const ModelFile file = parse_model_file(with("learning_rate", "3e-4"));
  CHECK(file.training.learning_rate == 3e-4);
  CHECK(file.training.min_learning_rate == 3e-4 / 10);
  CHECK(parse_model_file(with("grad_accum_steps", "8")).training.grad_accum_steps == 8);
  CHECK(parse_model_file(with("device", "\"cuda\"")).notes.size() == 1);
}

TEST_CASE("each wrong value is one mistake, with its line and what to write") {
  struct Bad {
    const char *key, *value;
    int line;
    const char *what, *write;
  };
  const Bad bad[] = {
      {"n_embd", "770", 3, "multiple of n_head (12), not 770", "768 or 780"},
      {"n_embd", "5", 3, "multiple of n_head", "12"},
      {"n_layer", "0", 2, "1 or more, not 0", "1"},
      {"n_layer", "-3", 2, "1 or more, not -3", "1"},
      {"n_layer", "8.0", 2, "whole number, not 8.0", "8"},
      {"n_layer", "7.5", 2, "whole number, not 7.5", "7 or 8"},
      {"n_layer", "1e3", 2, "whole number, not 1e3", "1000"},
      {"n_layer", "\"8\"", 2, "not a string: \"8\"", "8, without quotes"},
      {"n_layer", "\"eight\"", 2, "not a string: \"eight\"", "a whole number"},
      {"n_layer", "null", 2, "whole number, not null", "a whole number"},
      {"n_layer", "true", 2, "whole number, not true", "a whole number"},
      {"n_layer", "[8]", 2, "whole number, not [...]", "a whole number"},
      {"n_layer", "{\"n_layer\": 8}", 2, "whole number, not {...}", "a whole number"},
      {"n_layer", "10001", 2, "at most 10000, not 10001", "10000"},
      {"vocab_size", "2147483648", 6, "at most 10000000, not 2147483648", "10000000"},
      {"vocab_size", "-2147483649", 6, "1 or more", "1"},
      {"vocab_size", "99999999999999999999", 6, "whole number, not 99999999999999999999", "10000000"},
      {"vocab_size", "1e300", 6, "whole number", "10000000"},
      {"n_head", "0", 4, "1 or more", "1"},
      {"n_kv_head", "5", 10, "must divide n_head (12), not 5", "4 or 6"},
      {"n_kv_head", "24", 10, "must divide n_head (12), not 24", "12"},
      {"n_kv_head", "0", 10, "1 or more", "1"},
      {"bias", "\"true\"", 7, "true or false, not \"true\"", "true"},
      {"bias", "0", 7, "true or false, not 0", "false"},
      {"dropout", "1", 8, "from 0 to below 1, not 1", "0.1"},
      {"dropout", "-0.1", 8, "from 0 to below 1", "0.1"},
      {"dropout", "\"0.1\"", 8, "from 0 to below 1, not \"0.1\"", "0.1"},
      {"batch_size", "0", 9, "1 or more", "1"},
      {"batch_size", "1000001", 9, "at most 1000000", "1000000"},
      {"learning_rate", "0", 10, "above 0", "0.0003"},
      {"max_iters", "0", 10, "1 or more", "1"},
      {"warmup_iters", "-1", 10, "0 or more", "0"},
      {"weight_decay", "-1", 10, "0 or more", "0.1"},
      {"mlp_type", "\"gleu\"", 10, "one of relu, gelu, gelu_tanh, swiglu", "\"gelu\""},
      {"mlp_type", "3", 10, "one of relu", "\"relu\""},
      {"norm_type", "\"layer_norm\"", 10, "one of layernorm, rmsnorm", "\"layernorm\""},
      {"norm_eps", "0", 10, "a number from 1e-12 to 0.1, not 0", "1e-5"},
      {"norm_eps", "\"1e-5\"", 10, "a number from 1e-12 to 0.1", "1e-5"},
      {"pos_encoding", "\"ROPE\"", 10, "one of learned, rope", "\"learned\""},
      {"tie_weights", "1", 10, "true or false", "true"},
      {"rope_theta", "0", 10, "from 1 to 2147483647", "10000"},
      {"rope_theta", "50000", 10, "no effect without", "remove it, or add pos_encoding"},
      {"name", "5", 10, "a text in quotes", "\"...\""},
      {"n_layers", "9", 10, "not a known key", "n_layer"},
      {"warmup", "9", 10, "not a known key", "warmup_iters"},
      {"temperature_of_the_moon", "9", 10, "not a known key", "remove it, or begin its name with comment"},
      {"gradient_accumulation_steps", "9", 10, "nanoGPT's word", "grad_accum_steps"},
      {"min_lr", "1e-5", 10, "nanoGPT's word", "remove it: train has --min-learning-rate, and takes a tenth of the learning rate without it"},
      {"beta2", "0.95", 10, "nanoGPT's word", "remove it: train has --beta2"},
      {"lr_decay_iters", "9", 10, "nanoGPT's word", "remove it: the learning rate falls until max_iters"},
      {"out_dir", "\"out\"", 10, "nanoGPT's word", "remove it: train has --out"},
  };
  for (const Bad& b : bad) {
    INFO(b.key << ": " << b.value);
    const ModelFile file = parse_model_file(with(b.key, b.value));
    REQUIRE(file.mistakes.size() == 1);
    const Mistake& m = file.mistakes[0];
    CHECK(m.line == b.line);
    CHECK(m.field == b.key);
    CHECK((m.write.empty() ? m.advice : m.write) == b.write);
    CHECK(m.to_do() == (m.write.empty() ? "" : "write ") + std::string(b.write));
    CHECK_THAT(m.what, Catch::Contains(b.what));
  }
}

TEST_CASE("A config of Hugging Face transformers is one mistake, which says what reads it") {
  for (const char* const text : {R"({"model_type": "gpt2", "n_embd": 768, "n_inner": null, "torch_dtype": "float32"})",
                                 R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64})"}) {
    const ModelFile file = parse_model_file(text);
    REQUIRE(file.mistakes.size() == 1);
    CHECK_THAT(file.mistakes[0].what, Catch::Contains("Hugging Face"));
    CHECK_THAT(file.mistakes[0].to_do(), Catch::Contains("tinygpt config-from"));
  }
}

TEST_CASE("RoPE wants even heads, and the nearest right widths have them") {
  std::string text = with("pos_encoding", "\"rope\"");
  text.replace(text.find("768"), 3, "636");
  const ModelFile file = parse_model_file(text);
  REQUIRE(file.mistakes.size() == 1);
  CHECK_THAT(file.mistakes[0].what, Catch::Contains("= 53, which must be even"));
  CHECK(file.mistakes[0].write == "624 or 648");
}

TEST_CASE("several mistakes are reported together, in the order of the lines") {
  const ModelFile file = parse_model_file("{\n\"n_layer\": 0,\n\"n_layer\": 1,\n\"n_embed\": 64,\n\"dropout\": 2\n}");
  std::vector<std::pair<int, std::string>> found;
  for (const Mistake& m : file.mistakes) found.emplace_back(m.line, m.field);
  const std::vector<std::pair<int, std::string>> expected{{2, "n_layer"},    {3, "n_layer"},    {4, "n_embed"},
                                                          {5, "dropout"},    {6, "batch_size"}, {6, "block_size"},
                                                          {6, "vocab_size"}, {6, "n_head"},     {6, "bias"}};
  CHECK(found == expected);
}

TEST_CASE("what is not a JSON object is one sentence with its line") {
  struct Bad {
    std::string text;
    int line;
    const char* what;
  };
  const Bad bad[] = {
      {"", 1, "unexpected end of input"},
      {"{\n\"n_layer\": 1,\n}", 3, "remove the comma before it"},
      {"{\n\"n_layer\": 1\n\"n_head\": 1}", 3, "a comma or a colon is missing before it"},
      {"{\n'n_layer': 1}", 2, "write \" instead of '"},
      {"// a remark\n{}", 1, "as \"comment\""},
      {"{} {}", 1, "expected end of input"},
      {"[1]", 1, "not a JSON object"},
      {"7", 1, "not a JSON object"},
      {"{\n\n\"n_layer\": 1e999}", 3, "a number is out of range"},
      {"{\"a\": tru}", 1, "it is not JSON"},
      {"{\"a\": 1", 1, "unexpected end of input"},
      {"{\"a\": \"\xff\"}", 1, "not UTF-8 at byte 7"},
      {std::string("{\n\0}", 4), 2, "a zero byte"},
      {"{\"a\":" + std::string(10'000, '[') + std::string(10'000, ']') + "}", 1, "nested more than 64 deep"},
      {std::string(500'000, '['), 1, "not a JSON object"},
  };
  for (const Bad& b : bad) {
    INFO(b.text.substr(0, 60));
    const ModelFile file = parse_model_file(b.text);
    REQUIRE(file.mistakes.size() == 1);
    CHECK(file.mistakes[0].line == b.line);
    CHECK_THAT(file.mistakes[0].what, Catch::Contains(b.what));
  }
}

TEST_CASE("any prefix and any changed byte of a config is read or refused, never worse") {
  const std::string text = with("mlp_type", "\"swiglu\"");
  for (std::size_t i = 0; i < text.size(); ++i) {
    static_cast<void>(parse_model_file(text.substr(0, i)));
    for (const char c : {'\0', '"', '{', '[', ',', '9', '\n', '\x80', '-'}) {
      std::string changed = text;
      changed[i] = c;
      static_cast<void>(parse_model_file(changed));
    }
  }
}

TEST_CASE("the largest sizes that a file may give can be counted without overflow") {
  const ModelFile file = parse_model_file(
      "{\"n_layer\": 10000, \"n_embd\": 1000000, \"n_head\": 100000, \"block_size\": 10000000, \"vocab_size\": "
      "10000000, "
      "\"ffn_hidden\": 10000000, \"bias\": true, \"dropout\": 0, \"batch_size\": 1, \"mlp_type\": \"swiglu\", "
      "\"tie_weights\": false}");
  if (!file.mistakes.empty()) {
    CHECK(file.mistakes[0].field == "batch_size");  // too many activations; the parameters alone are not too many
  }
  const Config c = completed({.layers = 10'000,
                              .embd = 1'000'000,
                              .query_heads = 100'000,
                              .ctx = 10'000'000,
                              .vocab = 10'000'000,
                              .ffn = 10'000'000,
                              .activation = swiglu});
  CHECK(ParamTable(c).param_count() > 300'000'000'000'000'000);
  CHECK(3 * forward_flops_per_token(c, c.ctx) > 0);
}

TEST_CASE("every preset is the same model as a type, as a config in JSON and as its checkpoint's words") {
  for (const Preset& preset : presets::registry) {
    INFO(preset.name);
    CHECK(config_from_json(config_to_json(preset.config), "-") == preset.config);
    REQUIRE(model_file_can_say(preset.config));
    const ModelFile file = parse_model_file(model_file_json(preset.name, preset.config, preset.defaults).dump(2));
    REQUIRE(file.mistakes.empty());
    CHECK(file.config == preset.config);
    CHECK(type_text(file.config) == type_text(preset.config));
    CHECK(file.training.batch_size == preset.defaults.batch_size);
    CHECK(file.training.grad_accum_steps == preset.defaults.grad_accum_steps);
    CHECK(file.training.learning_rate == preset.defaults.learning_rate);
    CHECK(file.training.warmup_iters == preset.defaults.warmup_iters);
    CHECK(file.training.dropout == preset.defaults.dropout);
  }
}

}  // namespace

// nanoGPT's state dicts: the architecture is told by the shapes, and what does not fit together is named.
#include <catch.hpp>

#include <cstring>
#include <functional>
#include <map>

#include <numbers.hpp>
#include <scratch.hpp>

#include <tinygpt/exchange/nanogpt.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

struct Numbers {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using State = std::map<std::string, Numbers>;

constexpr int V = 19, T = 7, C = 12, H = 3, L = 2, F = 48;

/// As nanoGPT's GPT(config).state_dict() has it.
State state_dict(bool bias) {
  State state;
  unsigned seed = 0;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    std::size_t size = 1;
    for (const auto extent : shape) size *= static_cast<std::size_t>(extent);
    std::vector<float> values;
    for (const double x : test::normal(size, ++seed)) values.push_back(static_cast<float>(x));
    state[name] = {std::move(shape), std::move(values)};
  };
  const auto with_bias = [&](const std::string& name, std::vector<std::int64_t> shape) {
    add(name + ".weight", shape);
    if (bias) add(name + ".bias", {shape[0]});
  };
  add("transformer.wte.weight", {V, C});
  add("transformer.wpe.weight", {T, C});
  for (int l = 0; l < L; ++l) {
    const std::string h = "transformer.h." + std::to_string(l) + ".";
    with_bias(h + "ln_1", {C});
    with_bias(h + "attn.c_attn", {3 * C, C});
    with_bias(h + "attn.c_proj", {C, C});
    with_bias(h + "ln_2", {C});
    with_bias(h + "mlp.c_fc", {F, C});
    with_bias(h + "mlp.c_proj", {C, F});
  }
  with_bias("transformer.ln_f", {C});
  state["lm_head.weight"] = state["transformer.wte.weight"];
  return state;
}

std::string safetensors_bytes(const State& state, const std::string& metadata = "") {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = {{"model_args", metadata}};
  std::string data;
  for (const auto& [name, numbers] : state) {
    const std::size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(numbers.values.data()), numbers.values.size() * sizeof(float));
    header[name] = {{"dtype", "F32"}, {"shape", numbers.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text + data;
}

LoadedModel read_state(const State& state, const std::string& metadata = "", const NanogptOptions& options = {H}) {
  const ScratchDirectory scratch;
  return read_nanogpt(scratch.file("ckpt.safetensors", safetensors_bytes(state, metadata)), options);
}

std::string fault_of(const std::function<void(State&)>& change, const std::string& metadata = "",
                     const NanogptOptions& options = {H}) {
  State state = state_dict(true);
  change(state);
  try {
    read_state(state, metadata, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void reshape(State& state, const std::string& name, std::vector<std::int64_t> shape) {
  std::size_t size = 1;
  for (const auto extent : shape) size *= static_cast<std::size_t>(extent);
  state[name] = {std::move(shape), std::vector<float>(size, 0.5f)};
}

const std::string args =
    R"({"n_layer": 2, "n_head": 3, "n_embd": 12, "block_size": 7, "bias": true, "vocab_size": 19, "dropout": 0.0})";

}  // namespace

TEST_CASE("a state dict of nanoGPT's becomes the architecture that its shapes tell, with its numbers in their places") {
  for (const bool bias : {true, false}) {
    const State state = state_dict(bias);
    const LoadedModel model = read_state(state);
    Config expected;
    expected.layers = L, expected.embd = C, expected.query_heads = expected.kv_heads = H, expected.head_dim = C / H;
    expected.ctx = T, expected.vocab = V, expected.ffn = F, expected.activation = gelu;
    expected.bias = bias ? all : BiasSet::none;
    CHECK(model.config == expected);
    CHECK(model.name == "ckpt");

    const ParamTable table(model.config);
    std::size_t found = 0;
    const auto same = [&](const std::string& name, Param id, int l) {
      CAPTURE(name);
      if (!state.contains(name)) {
        CHECK(!bias);
        return;
      }
      const auto& values = state.at(name).values;
      const float* const here = model.weights.data() + table[id].offset + l * table[id].stride;
      CHECK(std::equal(values.begin(), values.end(), here));
      CHECK(static_cast<std::int64_t>(values.size()) == table[id].layer_size());
      ++found;
    };
    same("transformer.wte.weight", Param::token_embedding, 0);
    same("transformer.wpe.weight", Param::position_embedding, 0);
    for (int l = 0; l < L; ++l) {
      const std::string h = "transformer.h." + std::to_string(l) + ".";
      same(h + "ln_1.weight", Param::norm1_weight, l);
      same(h + "ln_1.bias", Param::norm1_bias, l);
      same(h + "attn.c_attn.weight", Param::qkv_weight, l);
      same(h + "attn.c_proj.weight", Param::attn_out_weight, l);
      same(h + "ln_2.weight", Param::norm2_weight, l);
      same(h + "ln_2.bias", Param::norm2_bias, l);
      same(h + "mlp.c_fc.weight", Param::ffn_in_weight, l);
      same(h + "mlp.c_proj.weight", Param::ffn_out_weight, l);
      if (!bias) continue;
      same(h + "attn.c_attn.bias", Param::qkv_bias, l);
      same(h + "attn.c_proj.bias", Param::attn_out_bias, l);
      same(h + "mlp.c_fc.bias", Param::ffn_in_bias, l);
      same(h + "mlp.c_proj.bias", Param::ffn_out_bias, l);
    }
    same("transformer.ln_f.weight", Param::final_norm_weight, 0);
    same("transformer.ln_f.bias", Param::final_norm_bias, 0);
    CHECK(found + 1 == state.size());  // and the head, which is the table of tokens
    if (!bias) CHECK(model.weights[static_cast<std::size_t>(table[Param::final_norm_bias].offset)] == 0);
  }
}

TEST_CASE("what torch.compile, old versions of PyTorch and shared heads change in a state dict changes nothing here") {
  const State state = state_dict(true);
  const LoadedModel model = read_state(state);
  State compiled, masked = state, shared = state;
  for (const auto& [name, numbers] : state) compiled["_orig_mod." + name] = numbers;
  reshape(masked, "transformer.h.1.attn.bias", {1, 1, T, T});
  shared.erase("lm_head.weight");
  for (const State& other : {compiled, masked, shared}) {
    const LoadedModel same = read_state(other);
    CHECK(same.config == model.config);
    CHECK(same.weights == model.weights);
  }
  State untied_head = state;
  untied_head["lm_head.weight"].values[5] += 1;
  const LoadedModel other = read_state(untied_head);
  CHECK(other.config.head == untied);
  const auto head = static_cast<std::size_t>(ParamTable(other.config)[Param::head_weight].offset);
  CHECK(other.weights[head + 5] == untied_head["lm_head.weight"].values[5]);
}

TEST_CASE("the number of heads comes from the metadata, or from who asks") {
  const State state = state_dict(true);
  CHECK(read_state(state, args, {}).config.query_heads == 3);
  CHECK(read_state(state, args, {3}).config.query_heads == 3);
  CHECK(read_state(state, "", {6}).config.head_dim == 2);
  CHECK(read_state(state, "", {3, gelu_tanh}).config.activation == gelu_tanh);
  const auto nothing = [](State&) {};
  CHECK_THAT(fault_of(nothing, "", {}), Contains("how many heads"));
  CHECK_THAT(fault_of(nothing, "", {5}), Contains("5 heads do not divide"));
  CHECK_THAT(fault_of(nothing, "", {-3}), Contains("-3 heads do not divide"));
  CHECK_THAT(fault_of(nothing, args, {4}), Contains("was trained with 3 heads, not 4"));
  CHECK_THAT(fault_of(nothing, R"({"n_head": 3, "n_layer": 4})", {}),
             Contains("n_layer = 4") && Contains("its tensors 2"));
  CHECK_THAT(fault_of(nothing, R"({"n_head": 3, "vocab_size": 50304})", {}), Contains("vocab_size = 50304"));
  CHECK_THAT(fault_of(nothing, R"({"n_head": "3"})", {}), Contains("'n_head' must be a whole number"));
  CHECK_THAT(fault_of(nothing, R"({"n_head": 99999999999})", {}), Contains("'n_head' must be a smaller number"));
  CHECK_THAT(fault_of(nothing, R"({"n_head": 0})", {}), Contains("how many heads"));
  CHECK_THAT(fault_of(nothing, "[", {}), Contains("not JSON"));
  CHECK_THAT(fault_of(nothing, std::string(100, '['), {}), Contains("nested too deeply"));
}

TEST_CASE("tensors that do not make a model of nanoGPT's are named") {
  const auto without = [](const char* name) { return fault_of([&](State& s) { s.erase(name); }); };
  CHECK(fault_of([](State&) {}).empty());
  CHECK_THAT(without("transformer.wte.weight"), Contains("'transformer.wte.weight' is missing"));
  CHECK_THAT(without("transformer.wpe.weight"), Contains("'transformer.wpe.weight' is missing"));
  CHECK_THAT(without("transformer.ln_f.weight"), Contains("'transformer.ln_f.weight' is missing"));
  CHECK_THAT(without("transformer.h.0.ln_1.weight"), Contains("nanoGPT's models have not"));
  CHECK_THAT(without("transformer.h.1.ln_1.weight"), Contains("nanoGPT's models have not"));
  CHECK_THAT(without("transformer.h.0.attn.c_attn.weight"),
             Contains("'transformer.h.0.attn.c_attn.weight' is missing"));
  CHECK_THAT(without("transformer.h.1.attn.c_attn.bias"), Contains("'transformer.h.1.attn.c_attn.bias' is missing"));
  CHECK_THAT(without("transformer.h.0.attn.c_attn.bias"), Contains("nanoGPT's models have not"));
  CHECK_THAT(without("transformer.h.0.mlp.c_fc.bias"), Contains("'transformer.h.0.mlp.c_fc.bias' is missing"));
  CHECK_THAT(without("transformer.h.1.mlp.c_proj.weight"), Contains("is missing"));

  const auto shaped = [](const char* name, std::vector<std::int64_t> shape) {
    return fault_of([&](State& s) { reshape(s, name, shape); });
  };
  CHECK_THAT(shaped("transformer.wte.weight", {V * C}), Contains("shape (228), which no model has"));
  CHECK_THAT(shaped("transformer.wte.weight", {0, C}), Contains("shape (0, 12)"));
  CHECK_THAT(shaped("transformer.wpe.weight", {T, C + 1}), Contains("(7, 13), where the other tensors need (7, 12)"));
  CHECK_THAT(shaped("transformer.h.0.attn.c_attn.weight", {C, 3 * C}), Contains("Hugging Face"));
  CHECK_THAT(shaped("transformer.h.1.attn.c_attn.weight", {C, 3 * C}), Contains("(12, 36), where"));
  CHECK_THAT(shaped("transformer.h.0.attn.c_proj.weight", {C, C - 1}),
             Contains("where the other tensors need (12, 12)"));
  CHECK_THAT(shaped("transformer.h.1.ln_2.weight", {C, 1}), Contains("where the other tensors need (12)"));
  CHECK_THAT(shaped("transformer.h.0.mlp.c_fc.weight", {0, C}), Contains("which no model has"));
  CHECK_THAT(shaped("transformer.h.0.mlp.c_fc.weight", {40, C}), Contains("where the other tensors need"));
  CHECK_THAT(shaped("transformer.wte.weight", {1, 1}),
             Contains("where the other tensors need") || Contains("do not divide"));
  CHECK_THAT(shaped("transformer.h.0.attn.rotary", {3}), Contains("'transformer.h.0.attn.rotary'"));
  CHECK_THAT(shaped("lm_head.weight", {V, C + 1}), Contains("'lm_head.weight' has the shape (19, 13)"));
  CHECK_THAT(fault_of([](State& s) { s["_orig_mod.transformer.wte.weight"] = s["transformer.wte.weight"]; }),
             Contains("with and without _orig_mod."));
}

TEST_CASE("a state dict is told by the names of its tensors") {
  const ScratchDirectory scratch;
  State state = state_dict(false);
  CHECK(is_nanogpt(SafetensorsReader(scratch.file("a.safetensors", safetensors_bytes(state)))));
  reshape(state, "transformer.h.0.attn.c_attn.weight", {C, 3 * C});
  CHECK_FALSE(is_nanogpt(SafetensorsReader(scratch.file("b.safetensors", safetensors_bytes(state)))));
  state.erase("transformer.wte.weight");
  CHECK_FALSE(is_nanogpt(SafetensorsReader(scratch.file("c.safetensors", safetensors_bytes(state)))));
}

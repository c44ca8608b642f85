// config.json as Hugging Face transformers has it: an architecture in its words, both ways. What would be computed
// otherwise there than here is refused by name.
// Source: transformers, models/{gpt2,llama,qwen3}/configuration_*.py, of version 4 and of version 5.
#pragma once

#include <climits>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/io/hf_layout.hpp>
#include <tinygpt/io/norm_eps.hpp>
#include <tinygpt/io/size_check.hpp>

namespace tinygpt {

namespace hf_config {

struct FamilyName {
  HfFamily family;
  const char *model_type, *architecture;
};
inline constexpr FamilyName families[] = {{HfFamily::gpt2, "gpt2", "GPT2LMHeadModel"},
                                          {HfFamily::llama, "llama", "LlamaForCausalLM"},
                                          {HfFamily::qwen3, "qwen3", "Qwen3ForCausalLM"}};

/// Takes the members of one config.json.
class Reader {
 public:
  Reader(const Json& json, const std::filesystem::path& path) : json_(json), path_(path) {}

  Config read() const {
    const FamilyName& name = family();
    if (present("quantization_config"))
      refuse("it is quantised ('quantization_config')", "take the model as it was before");
    Config c = name.family == HfFamily::gpt2 ? gpt2() : llama(name.family);
    // Sizes that are each in their range may still not fit together.
    check_sizes(c, [&](const char*, const std::string& what, const std::string&) { throw damaged(path_, what); });
    return c;
  }

 private:
  [[noreturn]] void refuse(const std::string& what, const std::string& instead) const {
    throw Error(path_.string() + " is of a model that is computed differently here: " + what + ": " + instead);
  }

  const FamilyName& family() const {
    const auto type = member<std::string>(json_, "model_type", path_);
    for (const FamilyName& name : families) {
      if (type != name.model_type) continue;
      if (const Json* const list = present("architectures")) {
        if (!list->is_array() || list->size() != 1 || !list->front().is_string()) {
          throw damaged(path_, "'architectures' must be a list of one text");
        }
        const auto architecture = list->front().get<std::string>();
        const bool headless =
            architecture == "GPT2Model" || architecture == "LlamaModel" || architecture == "Qwen3Model";
        if (architecture != name.architecture && !headless) {
          refuse("its architecture is '" + printable(architecture) + "'",
                 "take one that is " + std::string(name.architecture));
        }
      }
      return name;
    }
    throw Error(path_.string() + " is of a model of type '" + printable(type) +
                "', and those that are known here are gpt2, llama and qwen3: take a model of these types");
  }

  const Json* present(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  int size(const char* key, int most) const {
    const int n = member<int>(json_, key, path_);
    if (n < 1 || n > most) throw damaged(path_, "'" + std::string(key) + "' must be from 1 to " + std::to_string(most));
    return n;
  }
  int size_or(const char* key, int most, int otherwise) const { return present(key) ? size(key, most) : otherwise; }
  bool flag(const char* key, bool otherwise) const {
    return present(key) ? member<bool>(json_, key, path_) : otherwise;
  }
  std::string text(const char* key, const char* otherwise) const {
    return present(key) ? member<std::string>(json_, key, path_) : otherwise;
  }

  /// A choice that the model may not have made.
  void expect(const char* key, bool must_be) const {
    if (flag(key, must_be) != must_be) {
      refuse("'" + std::string(key) + "' is " + (must_be ? "false" : "true"), "take a model without it");
    }
  }

  double norm_eps(const char* key, NormKind norm) const {
    if (!present(key)) return default_norm_eps(norm);
    if (const auto eps = norm_eps_of_file(member<double>(json_, key, path_))) return *eps;
    throw damaged(path_, "'" + std::string(key) + "' " + norm_eps_range);
  }

  Config gpt2() const {
    Config c;
    c.layers = size("n_layer", 10'000);
    c.embd = size("n_embd", 1'000'000);
    c.query_heads = size("n_head", 100'000);
    c.ctx = size("n_positions", 10'000'000);
    c.vocab = size("vocab_size", 10'000'000);
    c.ffn = size_or("n_inner", 10'000'000, 4 * c.embd);
    c.kv_heads = c.query_heads;
    if (c.embd % c.query_heads != 0) throw damaged(path_, "'n_embd' must be a multiple of 'n_head'");
    c.head_dim = c.embd / c.query_heads;
    const auto activation = text("activation_function", "gelu_new");
    if (activation == "gelu_new" || activation == "gelu_pytorch_tanh") {
      c.activation = gelu_tanh;
    } else if (activation == "gelu" || activation == "relu") {
      c.activation = activation == "relu" ? relu : gelu;
    } else {
      refuse("its activation is '" + printable(activation) + "'", "take one with gelu_new, gelu or relu");
    }
    expect("scale_attn_weights", true);
    expect("scale_attn_by_inverse_layer_idx", false);
    expect("add_cross_attention", false);
    c.norm_eps = norm_eps("layer_norm_epsilon", layer);
    c.bias = BiasSet::all;
    c.head = flag("tie_word_embeddings", true) ? tied : untied;
    return c;
  }

  Config llama(HfFamily family) const {
    Config c;
    c.norm = rms;
    c.positions = rope;
    c.activation = swiglu;
    c.layers = size("num_hidden_layers", 10'000);
    c.embd = size("hidden_size", 1'000'000);
    c.query_heads = size("num_attention_heads", 100'000);
    c.kv_heads = size_or("num_key_value_heads", 100'000, family == HfFamily::qwen3 ? 32 : c.query_heads);
    c.ffn = size("intermediate_size", 10'000'000);
    c.ctx = size("max_position_embeddings", 10'000'000);
    c.vocab = size("vocab_size", 10'000'000);
    if (present("head_dim")) {
      c.head_dim = size("head_dim", 100'000);
    } else if (family == HfFamily::qwen3) {
      c.head_dim = 128;
    } else if (c.embd % c.query_heads == 0) {
      c.head_dim = c.embd / c.query_heads;
    } else {
      throw damaged(path_, "'hidden_size' must be a multiple of 'num_attention_heads'");
    }
    const auto activation = text("hidden_act", "silu");
    if (activation != "silu" && activation != "swish") {
      refuse("its activation is '" + printable(activation) + "'", "take one with silu");
    }
    c.norm_eps = norm_eps("rms_norm_eps", rms);
    c.rope_base = rope_base();
    c.qk_norm = family == HfFamily::qwen3;
    if (flag("attention_bias", false)) c.bias = attn_in | attn_out;
    if (flag("mlp_bias", false)) {
      if (family == HfFamily::qwen3) refuse("'mlp_bias' is not a choice of Qwen3's", "remove it");
      c.bias = c.bias | BiasSet::ffn;
    }
    expect_no_window(c);
    c.head = flag("tie_word_embeddings", false) ? tied : untied;
    return c;
  }

  void expect_no_window(const Config& c) const {
    if (const Json* const layers = present("layer_types")) {
      const auto is_full = [](const Json& type) { return type == "full_attention"; };
      if (!layers->is_array() || !std::all_of(layers->begin(), layers->end(), is_full)) {
        refuse("some of its layers do not attend to everything ('layer_types')", "take a model of full_attention");
      }
    }
    if (present("sliding_window") == nullptr || !flag("use_sliding_window", true)) return;
    if (member<std::int64_t>(json_, "sliding_window", path_) < c.ctx) {
      refuse("it attends to a sliding window", "take a model without, or one whose window is the whole context");
    }
  }

  /// The base, which version 4 has as rope_theta beside rope_scaling, and version 5 within rope_parameters.
  int rope_base() const {
    std::optional<double> theta;
    const auto say = [&](double x) {
      if (theta && *theta != x) throw damaged(path_, "it says two different values of 'rope_theta'");
      theta = x;
    };
    if (present("rope_theta")) say(member<double>(json_, "rope_theta", path_));
    for (const char* const key : {"rope_scaling", "rope_parameters"}) {
      if (!present(key)) continue;
      const Json inside = member<Json>(json_, key, path_);
      if (std::any_of(inside.begin(), inside.end(), [](const Json& value) { return value.is_object(); })) {
        refuse("its layers have positions of several kinds ('" + std::string(key) + "')", "take a model of one kind");
      }
      for (const char* const kind : {"rope_type", "type"}) {
        if (!inside.contains(kind)) continue;
        const auto type = member<std::string>(inside, kind, path_);
        if (type != "default") {
          refuse("its positions are scaled ('" + std::string(key) + "' of type '" + printable(type) + "')",
                 "take a model with the default");
        }
      }
      if (inside.contains("rope_theta")) say(member<double>(inside, "rope_theta", path_));
      expect_all_rotates(inside);
    }
    expect_all_rotates(json_);
    const double base = theta.value_or(10'000);
    if (!(base >= 1 && base <= INT_MAX) || base != std::floor(base)) {
      refuse("its 'rope_theta' is " + shortest_text(base), "take a whole number from 1 to 2147483647");
    }
    return static_cast<int>(base);
  }

  void expect_all_rotates(const Json& json) const {
    const auto found = json.find("partial_rotary_factor");
    if (found == json.end() || found->is_null() || *found == 1) return;
    refuse("only a part of each head is rotated ('partial_rotary_factor')", "take a model that rotates all of it");
  }

  const Json& json_;
  const std::filesystem::path& path_;
};

/// Members of config.json that we write but that say nothing of what a trained model computes: somebody else's stay.
inline bool is_not_computed(std::string_view key) {
  for (const char* const one : {"resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout", "initializer_range",
                                "use_cache", "bos_token_id", "eos_token_id"}) {
    if (key == one) return true;
  }
  return false;
}

inline const char* dtype_name(StoredType type) {
  return type == StoredType::float32 ? "float32" : type == StoredType::bfloat16 ? "bfloat16" : "float16";
}

}  // namespace hf_config

/// The architecture that a config.json of gpt2, llama or qwen3 says. GPT-2's never says that there are no biases, so it
/// is Bias<all> there. Throws where anything is missing, wrong, or computed differently here.
inline Config config_from_hf(const Json& json, const std::filesystem::path& path) {
  return hf_config::Reader(json, path).read();
}

/// The config.json of a model that transformers knows, which hf_family() says. `end`: the id that ends a text.
inline nlohmann::ordered_json hf_config_json(const Config& c, StoredType type, std::optional<std::int32_t> end) {
  nlohmann::ordered_json json;
  const HfFamily family = hf_family(c).family.value();
  for (const auto& name : hf_config::families) {
    if (name.family != family) continue;
    json["architectures"] = Json::array({name.architecture});
    json["model_type"] = name.model_type;
  }
  const Json end_id = end ? Json(*end) : Json(nullptr);
  json["vocab_size"] = c.vocab;
  if (family == HfFamily::gpt2) {
    json["n_positions"] = c.ctx;
    json["n_ctx"] = c.ctx;  // llama.cpp's converter reads it
    json["n_embd"] = c.embd;
    json["n_layer"] = c.layers;
    json["n_head"] = c.query_heads;
    json["n_inner"] = c.ffn;
    json["activation_function"] = gpt2_activation(c.activation);
    json["layer_norm_epsilon"] = c.norm_eps;
    json["scale_attn_weights"] = true;
    json["scale_attn_by_inverse_layer_idx"] = false;
    json["reorder_and_upcast_attn"] = false;
    for (const char* const dropout : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) json[dropout] = 0.0;
  } else {
    json["hidden_size"] = c.embd;
    json["intermediate_size"] = c.ffn;
    json["num_hidden_layers"] = c.layers;
    json["num_attention_heads"] = c.query_heads;
    json["num_key_value_heads"] = c.kv_heads;
    json["head_dim"] = c.head_dim;
    json["hidden_act"] = "silu";
    json["max_position_embeddings"] = c.ctx;
    json["rms_norm_eps"] = c.norm_eps;
    json["rope_theta"] = static_cast<double>(c.rope_base);
    json["rope_scaling"] = nullptr;
    json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", static_cast<double>(c.rope_base)}};
    json["attention_bias"] = contains(c.bias, attn_in);
    if (family == HfFamily::llama) json["mlp_bias"] = contains(c.bias, BiasSet::ffn);
    if (family == HfFamily::qwen3) json["use_sliding_window"] = false;
    json["attention_dropout"] = 0.0;
  }
  json["initializer_range"] = 0.02;
  for (const char* const id : {"bos_token_id", "eos_token_id"}) json[id] = end_id;
  json["tie_word_embeddings"] = c.head == tied;
  json["use_cache"] = true;
  for (const char* const key : {"torch_dtype", "dtype"}) json[key] = hf_config::dtype_name(type);
  return json;
}

}  // namespace tinygpt

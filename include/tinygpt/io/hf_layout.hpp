// The tensors of a model as Hugging Face transformers names, shapes and turns them.
// Source: transformers, models/{gpt2,llama,qwen3}/modeling_*.py.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tinygpt/config/words.hpp>
#include <tinygpt/io/tensor_map.hpp>

namespace tinygpt {

/// The architecture that transformers knows a model as: GPT2LMHeadModel, LlamaForCausalLM or Qwen3ForCausalLM.
enum class HfFamily { gpt2, llama, qwen3 };

/// Which one an architecture is; or why it is none of them, in the words of the type.
struct HfFit {
  std::optional<HfFamily> family;
  std::string why_not;
};

/// What transformers calls the activation of a GPT-2; nullptr where it has none like it.
constexpr const char* gpt2_activation(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::relu:
      return "relu";
    case ActivationKind::gelu:
      return "gelu";
    case ActivationKind::gelu_tanh:
      return "gelu_new";
    case ActivationKind::swiglu:
      return nullptr;
  }
  return nullptr;
}

inline HfFit hf_family(const Config& c) {
  if (contains(c.bias, BiasSet::head)) return {std::nullopt, "a bias on the head is not known there"};
  if (c.positions == learned) {
    if (c.norm != layer) return {std::nullopt, "learned positions need Norm<layer> there"};
    if (gpt2_activation(c.activation) == nullptr) {
      const std::string word = config_text::word_of(config_text::activations, c.activation);
      return {std::nullopt, "learned positions with Activation<" + word + "> are not known there"};
    }
    if (c.kv_heads != c.query_heads)
      return {std::nullopt, "learned positions need as many key heads as query heads there"};
    if (c.query_width() != c.embd) return {std::nullopt, "learned positions need HeadDim<C / Hq> there"};
    if (c.qk_norm) return {std::nullopt, "learned positions with QkNorm are not known there"};
    return {HfFamily::gpt2, ""};
  }
  if (c.positions != rope) return {std::nullopt, "Positions<none> is not known there"};
  if (c.norm != rms) return {std::nullopt, "Positions<rope> needs Norm<rms> there"};
  if (c.activation != swiglu) return {std::nullopt, "Positions<rope> needs Activation<swiglu> there"};
  const bool in = contains(c.bias, attn_in), out = contains(c.bias, attn_out), ff = contains(c.bias, BiasSet::ffn);
  if (in != out) return {std::nullopt, "the attention's biases are on both of its matrices there, or on none"};
  if (c.qk_norm && ff) return {std::nullopt, "QkNorm with Bias<ffn> is not known there"};
  return {c.qk_norm ? HfFamily::qwen3 : HfFamily::llama, ""};
}

namespace hf_layout {

/// Collects tensors; shapes follow from the matrices.
class List {
 public:
  explicit List(const Config& config) : config_(config), table_(config) {}

  /// A matrix as it is here (out, in), or turned (in, out), or a vector.
  void add(std::string name, const ArenaMatrix& part, bool vector) {
    MappedTensor tensor{std::move(name), {}, {part}};
    if (!vector) tensor.shape.push_back(part.transposed ? part.cols : part.rows);
    tensor.shape.push_back(part.transposed ? part.rows : part.cols);
    tensors_.push_back(std::move(tensor));
  }
  void whole(const std::string& name, Param id, std::int64_t layer = 0) {
    add(name, matrix_of(table_[id], layer), table_[id].cols == 0);
  }
  void turned(const std::string& name, Param id, std::int64_t layer) {
    add(name, transposed(matrix_of(table_[id], layer)), false);
  }
  void rows(const std::string& name, Param id, std::int64_t layer, std::int64_t first, std::int64_t count) {
    add(name, rows_of(table_[id], layer, first, count), table_[id].cols == 0);
  }
  /// A bias that the model may lack, where the file has zeros then.
  void bias(const std::string& name, Param id, std::int64_t layer, std::int64_t size) {
    add(name, table_.has(id) ? matrix_of(table_[id], layer) : zeros(size), true);
  }
  bool has(Param id) const { return table_.has(id); }

  const Config& config() const { return config_; }
  std::vector<MappedTensor> take() { return std::move(tensors_); }

 private:
  const Config& config_;
  ParamTable table_;
  std::vector<MappedTensor> tensors_;
};

inline void add_gpt2(List& list) {
  const Config& c = list.config();
  list.whole("transformer.wte.weight", Param::token_embedding);
  list.whole("transformer.wpe.weight", Param::position_embedding);
  for (int l = 0; l < c.layers; ++l) {
    const std::string h = "transformer.h." + std::to_string(l) + ".";
    list.whole(h + "ln_1.weight", Param::norm1_weight, l);
    list.whole(h + "ln_1.bias", Param::norm1_bias, l);
    list.turned(h + "attn.c_attn.weight", Param::qkv_weight, l);
    list.bias(h + "attn.c_attn.bias", Param::qkv_bias, l, c.qkv_width());
    list.turned(h + "attn.c_proj.weight", Param::attn_out_weight, l);
    list.bias(h + "attn.c_proj.bias", Param::attn_out_bias, l, c.embd);
    list.whole(h + "ln_2.weight", Param::norm2_weight, l);
    list.whole(h + "ln_2.bias", Param::norm2_bias, l);
    list.turned(h + "mlp.c_fc.weight", Param::ffn_in_weight, l);
    list.bias(h + "mlp.c_fc.bias", Param::ffn_in_bias, l, c.ffn);
    list.turned(h + "mlp.c_proj.weight", Param::ffn_out_weight, l);
    list.bias(h + "mlp.c_proj.bias", Param::ffn_out_bias, l, c.embd);
  }
  list.whole("transformer.ln_f.weight", Param::final_norm_weight);
  list.whole("transformer.ln_f.bias", Param::final_norm_bias);
}

inline void add_llama(List& list) {
  const Config& c = list.config();
  const std::int64_t Q = c.query_width(), K = c.kv_width(), F = c.ffn;
  list.whole("model.embed_tokens.weight", Param::token_embedding);
  for (int l = 0; l < c.layers; ++l) {
    const std::string h = "model.layers." + std::to_string(l) + ".";
    const auto split = [&](const std::string& end, Param id, auto&&... parts) {
      const auto one = [&](const char* name, std::int64_t first, std::int64_t count) {
        list.rows(h + name + end, id, l, first, count);
      };
      if (list.has(id)) (std::apply(one, parts), ...);
    };
    const auto q = std::tuple("self_attn.q_proj", std::int64_t{0}, Q), k = std::tuple("self_attn.k_proj", Q, K),
               v = std::tuple("self_attn.v_proj", Q + K, K);
    const auto gate = std::tuple("mlp.gate_proj", std::int64_t{0}, F), up = std::tuple("mlp.up_proj", F, F);
    list.whole(h + "input_layernorm.weight", Param::norm1_weight, l);
    split(".weight", Param::qkv_weight, q, k, v);
    split(".bias", Param::qkv_bias, q, k, v);
    if (list.has(Param::q_norm_weight)) {
      list.whole(h + "self_attn.q_norm.weight", Param::q_norm_weight, l);
      list.whole(h + "self_attn.k_norm.weight", Param::k_norm_weight, l);
    }
    list.whole(h + "self_attn.o_proj.weight", Param::attn_out_weight, l);
    if (list.has(Param::attn_out_bias)) list.whole(h + "self_attn.o_proj.bias", Param::attn_out_bias, l);
    list.whole(h + "post_attention_layernorm.weight", Param::norm2_weight, l);
    split(".weight", Param::ffn_in_weight, gate, up);
    split(".bias", Param::ffn_in_bias, gate, up);
    list.whole(h + "mlp.down_proj.weight", Param::ffn_out_weight, l);
    if (list.has(Param::ffn_out_bias)) list.whole(h + "mlp.down_proj.bias", Param::ffn_out_bias, l);
  }
  list.whole("model.norm.weight", Param::final_norm_weight);
}

}  // namespace hf_layout

/// All tensors of a model that transformers knows, in no particular order; lm_head.weight only where it is not tied.
inline std::vector<MappedTensor> hf_tensors(const Config& config) {
  hf_layout::List list(config);
  if (config.positions == learned)
    hf_layout::add_gpt2(list);
  else
    hf_layout::add_llama(list);
  if (config.head == untied) list.whole("lm_head.weight", Param::head_weight);
  return list.take();
}

}  // namespace tinygpt

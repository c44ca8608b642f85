// The tensors of a model as llama.cpp names, shapes and turns them.
// Source: llama.cpp, src/models/{gpt2,llama,qwen3}.cpp and convert_hf_to_gguf.py.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/exchange/gguf_types.hpp>
#include <tinygpt/io/hf_layout.hpp>

namespace tinygpt {

/// The general.architecture of a model: "gpt2", "llama" or "qwen3"; or why it is none of them, in the words of the
/// type.
struct GgufFit {
  const char* architecture = nullptr;
  std::string why_not;
};

inline GgufFit gguf_fit(const Config& c) {
  const HfFit fit = hf_family(c);
  if (!fit.family) return {nullptr, fit.why_not};
  if (c.activation != gelu && c.activation != gelu_tanh && c.activation != swiglu) {
    const std::string word = config_text::word_of(config_text::activations, c.activation);
    return {nullptr, "Activation<" + word + "> is not known there"};
  }
  if (*fit.family == HfFamily::gpt2) return {"gpt2", ""};
  if (*fit.family == HfFamily::llama) return {"llama", ""};
  if (c.bias != none) return {nullptr, "QkNorm with biases is not known there"};
  return {"qwen3", ""};
}

namespace gguf {

/// What to do about rows of queries and keys: transformers turns number i of a head with number i + D / 2
/// ("rotate_half"), which is also llama.cpp's way for qwen3; for llama it turns neighbours, so there the rows of a head
/// change places.
enum class Rotation { halves, neighbours };

class TensorList {
 public:
  explicit TensorList(const Config& config) : config_(config), table_(config) {}

  void add(std::string name, Param id, std::int64_t layer = 0) {
    const ParamRow& row = table_[id];
    put(std::move(name), {matrix_of(row, layer)}, row.rows, row.cols);
  }
  /// Zeros where the model has no such vector.
  void add_or_zeros(std::string name, Param id, std::int64_t layer, std::int64_t size) {
    if (table_.has(id)) return add(std::move(name), id, layer);
    put(std::move(name), {zeros(size)}, size, 0);
  }
  void add_rows(std::string name, Param id, std::int64_t layer, std::int64_t first, std::int64_t count) {
    put(std::move(name), {rows_of(table_[id], layer, first, count)}, count, table_[id].cols);
  }
  /// Rows of heads, so that numbers i and i + D / 2 of a head become neighbours.
  void add_heads(std::string name, Param id, std::int64_t layer, std::int64_t first, std::int64_t heads) {
    const std::int64_t D = config_.head_dim;
    std::vector<ArenaMatrix> parts;
    parts.reserve(static_cast<std::size_t>(heads * D));
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < D; ++i) {
        parts.push_back(rows_of(table_[id], layer, first + h * D + i / 2 + (i % 2) * (D / 2), 1));
      }
    }
    put(std::move(name), std::move(parts), heads * D, table_[id].cols);
  }
  bool has(Param id) const { return table_.has(id); }

  const Config& config() const { return config_; }
  std::vector<MappedTensor> take() { return std::move(tensors_); }

 private:
  void put(std::string name, std::vector<ArenaMatrix> parts, std::int64_t rows, std::int64_t cols) {
    MappedTensor tensor{std::move(name), {rows}, std::move(parts)};
    if (cols != 0) tensor.shape.push_back(cols);
    tensors_.push_back(std::move(tensor));
  }

  const Config& config_;
  ParamTable table_;
  std::vector<MappedTensor> tensors_;
};

inline void add_gpt2_layer(TensorList& list, const std::string& b, int l) {
  const Config& c = list.config();
  list.add(b + "attn_norm.weight", Param::norm1_weight, l);
  list.add(b + "attn_norm.bias", Param::norm1_bias, l);
  list.add(b + "attn_qkv.weight", Param::qkv_weight, l);
  list.add_or_zeros(b + "attn_qkv.bias", Param::qkv_bias, l, c.qkv_width());
  list.add(b + "attn_output.weight", Param::attn_out_weight, l);
  list.add_or_zeros(b + "attn_output.bias", Param::attn_out_bias, l, c.embd);
  list.add(b + "ffn_norm.weight", Param::norm2_weight, l);
  list.add(b + "ffn_norm.bias", Param::norm2_bias, l);
  list.add(b + "ffn_up.weight", Param::ffn_in_weight, l);
  list.add_or_zeros(b + "ffn_up.bias", Param::ffn_in_bias, l, c.ffn);
  list.add(b + "ffn_down.weight", Param::ffn_out_weight, l);
  list.add_or_zeros(b + "ffn_down.bias", Param::ffn_out_bias, l, c.embd);
}

inline void add_llama_layer(TensorList& list, const std::string& b, int l, Rotation rotation) {
  const Config& c = list.config();
  const std::int64_t Q = c.query_width(), K = c.kv_width(), F = c.ffn;
  list.add(b + "attn_norm.weight", Param::norm1_weight, l);
  for (const auto& [end, id] : {std::pair(".weight", Param::qkv_weight), std::pair(".bias", Param::qkv_bias)}) {
    if (!list.has(id)) continue;
    if (rotation == Rotation::neighbours) {
      list.add_heads(b + "attn_q" + end, id, l, 0, c.query_heads);
      list.add_heads(b + "attn_k" + end, id, l, Q, c.kv_heads);
    } else {
      list.add_rows(b + "attn_q" + end, id, l, 0, Q);
      list.add_rows(b + "attn_k" + end, id, l, Q, K);
    }
    list.add_rows(b + "attn_v" + end, id, l, Q + K, K);
  }
  if (list.has(Param::q_norm_weight)) {
    list.add(b + "attn_q_norm.weight", Param::q_norm_weight, l);
    list.add(b + "attn_k_norm.weight", Param::k_norm_weight, l);
  }
  list.add(b + "attn_output.weight", Param::attn_out_weight, l);
  if (list.has(Param::attn_out_bias)) list.add(b + "attn_output.bias", Param::attn_out_bias, l);
  list.add(b + "ffn_norm.weight", Param::norm2_weight, l);
  for (const auto& [end, id] : {std::pair(".weight", Param::ffn_in_weight), std::pair(".bias", Param::ffn_in_bias)}) {
    if (!list.has(id)) continue;
    list.add_rows(b + "ffn_gate" + end, id, l, 0, F);
    list.add_rows(b + "ffn_up" + end, id, l, F, F);
  }
  list.add(b + "ffn_down.weight", Param::ffn_out_weight, l);
  if (list.has(Param::ffn_out_bias)) list.add(b + "ffn_down.bias", Param::ffn_out_bias, l);
}

}  // namespace gguf

/// All tensors of a model that fits, in the order of the file. `architecture` is what gguf_fit says.
inline std::vector<MappedTensor> gguf_tensors(const Config& config, std::string_view architecture) {
  gguf::TensorList list(config);
  const bool gpt2 = architecture == "gpt2";
  list.add("token_embd.weight", Param::token_embedding);
  if (gpt2) list.add("position_embd.weight", Param::position_embedding);
  for (int l = 0; l < config.layers; ++l) {
    const std::string b = "blk." + std::to_string(l) + ".";
    if (gpt2)
      gguf::add_gpt2_layer(list, b, l);
    else
      gguf::add_llama_layer(list, b, l, architecture == "llama" ? gguf::Rotation::neighbours : gguf::Rotation::halves);
  }
  list.add("output_norm.weight", Param::final_norm_weight);
  if (gpt2) list.add("output_norm.bias", Param::final_norm_bias);
  // Without it llama.cpp takes the embedding again; for gpt2 only its later versions do.
  if (config.head == untied || gpt2)
    list.add("output.weight", config.head == untied ? Param::head_weight : Param::token_embedding);
  return list.take();
}

}  // namespace tinygpt

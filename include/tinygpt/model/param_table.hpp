// One row per parameter tensor of an architecture: every count, offset, name, initialisation, decay group and printed
// summary comes from this table. Layers are stacked on the first axis, so the table is as long at any depth.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <tinygpt/config/kinds.hpp>

namespace tinygpt {

/// Every parameter tensor that an architecture may have, matrices first: they decay, the vectors after them do not.
enum class Param : int {
  token_embedding,
  position_embedding,
  qkv_weight,
  attn_out_weight,
  ffn_in_weight,
  ffn_out_weight,
  head_weight,
  norm1_weight,
  norm1_bias,
  q_norm_weight,
  k_norm_weight,
  qkv_bias,
  attn_out_bias,
  norm2_weight,
  norm2_bias,
  ffn_in_bias,
  ffn_out_bias,
  final_norm_weight,
  final_norm_bias,
  head_bias,
  count
};

/// How a tensor begins: normal(0, 0.02), the same divided by sqrt(2L) for matrices that end a residual branch, 0 or 1.
/// Source: Radford et al. 2019, section 2.3; nanoGPT's reading of it.
enum class Init { normal, residual_normal, zeros, ones };

enum class Decay { no, yes };

struct ParamRow {
  Param id = Param::count;
  const char* name = "";
  bool per_layer = false;   ///< stacked once per layer on the first axis
  std::int64_t layers = 0;  ///< extent of that axis: L, or 1
  std::int64_t rows = 0;    ///< of one layer's tensor
  std::int64_t cols = 0;    ///< of one layer's tensor; 0 for a vector, whose extent is `rows`
  Init init = Init::zeros;
  Decay decay = Decay::no;
  std::int64_t offset = 0;  ///< of the first element in the arena, in elements
  std::int64_t stride = 0;  ///< elements from one layer's tensor to the next

  /// Elements of one layer's tensor.
  constexpr std::int64_t layer_size() const { return cols == 0 ? rows : rows * cols; }
  /// Elements of the whole tensor.
  constexpr std::int64_t size() const { return layers * layer_size(); }
};

/// Tensors begin at multiples of this many elements, so that every one is aligned for vector loads in any element type.
inline constexpr std::int64_t param_alignment = 64;

class ParamTable {
 public:
  constexpr explicit ParamTable(const Config& c) {
    const std::int64_t C = c.embd, V = c.vocab, F = c.ffn;
    add(Param::token_embedding, "token_embedding", false, V, C, Init::normal);
    if (c.positions == learned) add(Param::position_embedding, "position_embedding", false, c.ctx, C, Init::normal);
    per_layer_ = c.layers;
    add(Param::qkv_weight, "qkv.weight", true, c.qkv_width(), C, Init::normal);
    add(Param::attn_out_weight, "attn_out.weight", true, C, c.query_width(), Init::residual_normal);
    add(Param::ffn_in_weight, "ffn_in.weight", true, c.ffn_in_width(), C, Init::normal);
    add(Param::ffn_out_weight, "ffn_out.weight", true, C, F, Init::residual_normal);
    if (c.head == untied) add(Param::head_weight, "head.weight", false, V, C, Init::normal);
    decay_end_ = end_;

    const bool ln = c.norm == layer;
    add(Param::norm1_weight, "norm1.weight", true, C, 0, Init::ones);
    if (ln) add(Param::norm1_bias, "norm1.bias", true, C, 0, Init::zeros);
    if (c.qk_norm) add(Param::q_norm_weight, "q_norm.weight", true, c.head_dim, 0, Init::ones);
    if (c.qk_norm) add(Param::k_norm_weight, "k_norm.weight", true, c.head_dim, 0, Init::ones);
    if (contains(c.bias, attn_in)) add(Param::qkv_bias, "qkv.bias", true, c.qkv_width(), 0, Init::zeros);
    if (contains(c.bias, attn_out)) add(Param::attn_out_bias, "attn_out.bias", true, C, 0, Init::zeros);
    add(Param::norm2_weight, "norm2.weight", true, C, 0, Init::ones);
    if (ln) add(Param::norm2_bias, "norm2.bias", true, C, 0, Init::zeros);
    if (contains(c.bias, BiasSet::ffn)) {
      add(Param::ffn_in_bias, "ffn_in.bias", true, c.ffn_in_width(), 0, Init::zeros);
      add(Param::ffn_out_bias, "ffn_out.bias", true, C, 0, Init::zeros);
    }
    add(Param::final_norm_weight, "final_norm.weight", false, C, 0, Init::ones);
    if (ln) add(Param::final_norm_bias, "final_norm.bias", false, C, 0, Init::zeros);
    if (contains(c.bias, BiasSet::head)) add(Param::head_bias, "head.bias", false, V, 0, Init::zeros);
  }

  constexpr const ParamRow* begin() const { return rows_.data(); }
  constexpr const ParamRow* end() const { return rows_.data() + size_; }
  constexpr int size() const { return size_; }

  /// Does the architecture have this tensor?
  constexpr bool has(Param id) const { return index_[static_cast<std::size_t>(id)] >= 0; }
  constexpr const ParamRow& operator[](Param id) const {
    return rows_[static_cast<std::size_t>(index_[static_cast<std::size_t>(id)])];
  }

  /// Exact number of parameters.
  constexpr std::int64_t param_count() const {
    std::int64_t n = 0;
    for (const ParamRow& row : *this) n += row.size();
    return n;
  }

  /// Elements of the arena that holds all parameters, alignment gaps included; [0, decay_end) decays, the rest does
  /// not.
  constexpr std::int64_t arena_size() const { return end_; }
  constexpr std::int64_t decay_end() const { return decay_end_; }

 private:
  static constexpr std::size_t capacity = static_cast<std::size_t>(Param::count);

  constexpr void add(Param id, const char* name, bool per_layer, std::int64_t rows, std::int64_t cols, Init init) {
    ParamRow row{
        id, name, per_layer, per_layer ? per_layer_ : 1, rows, cols, init, cols != 0 ? Decay::yes : Decay::no, end_, 0};
    row.stride = (row.layer_size() + param_alignment - 1) / param_alignment * param_alignment;
    end_ += row.layers * row.stride;
    index_[static_cast<std::size_t>(id)] = size_;
    rows_[static_cast<std::size_t>(size_++)] = row;
  }

  static constexpr std::array<int, capacity> nothing() {
    std::array<int, capacity> index{};
    for (int& i : index) i = -1;
    return index;
  }

  std::array<ParamRow, capacity> rows_{};
  std::array<int, capacity> index_ = nothing();
  int size_ = 0;
  std::int64_t per_layer_ = 1;
  std::int64_t end_ = 0;
  std::int64_t decay_end_ = 0;
};

}  // namespace tinygpt

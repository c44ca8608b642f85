// Typed views of the parameters (or of their gradients, or of an optimizer's moments) in one arena.
#pragma once

#include <tinygpt/layout/tensor.hpp>
#include <tinygpt/model/gpt.hpp>

namespace tinygpt {

/// The axes of a model's tensors.
template <Architecture M> struct AxesOf {
  static constexpr Config c = M::config;  // a copy, as nvcc refuses a reference here
  using C = Embd<c.embd>;
  using V = Vocab<c.vocab>;
  using T = Ctx<c.ctx>;
  using D = HeadDim<c.head_dim>;
  using F = Ffn<c.ffn>;
  using FfnRows = FfnIn<c.ffn, c.activation>;
  using QkvRows = Qkv<c.query_heads, c.kv_heads, c.head_dim>;
  using Queries = QueryHeads<c.query_heads, c.head_dim>;
  using Keys = KvHeads<c.kv_heads, c.head_dim>;
};

/// Every parameter tensor of M at `arena`, which holds M::params.arena_size() elements. E is const for reading.
/// A tensor that the architecture does not have is a null view. `l` is the layer.
template <Architecture M, class E> class Params {
  using A = AxesOf<M>;

 public:
  constexpr explicit Params(E* arena) : arena_(arena) {}

  auto token_embedding() const { return at<Param::token_embedding, typename A::V, typename A::C>(); }
  auto position_embedding() const { return at<Param::position_embedding, typename A::T, typename A::C>(); }
  auto norm1_weight(int l) const { return at<Param::norm1_weight, typename A::C>(l); }
  auto norm1_bias(int l) const { return at<Param::norm1_bias, typename A::C>(l); }
  auto qkv_weight(int l) const { return at<Param::qkv_weight, typename A::QkvRows, typename A::C>(l); }
  auto qkv_bias(int l) const { return at<Param::qkv_bias, typename A::QkvRows>(l); }
  auto q_norm_weight(int l) const { return at<Param::q_norm_weight, typename A::D>(l); }
  auto k_norm_weight(int l) const { return at<Param::k_norm_weight, typename A::D>(l); }
  auto attn_out_weight(int l) const { return at<Param::attn_out_weight, typename A::C, typename A::Queries>(l); }
  auto attn_out_bias(int l) const { return at<Param::attn_out_bias, typename A::C>(l); }
  auto norm2_weight(int l) const { return at<Param::norm2_weight, typename A::C>(l); }
  auto norm2_bias(int l) const { return at<Param::norm2_bias, typename A::C>(l); }
  auto ffn_in_weight(int l) const { return at<Param::ffn_in_weight, typename A::FfnRows, typename A::C>(l); }
  auto ffn_in_bias(int l) const { return at<Param::ffn_in_bias, typename A::FfnRows>(l); }
  auto ffn_out_weight(int l) const { return at<Param::ffn_out_weight, typename A::C, typename A::F>(l); }
  auto ffn_out_bias(int l) const { return at<Param::ffn_out_bias, typename A::C>(l); }
  auto final_norm_weight() const { return at<Param::final_norm_weight, typename A::C>(); }
  auto final_norm_bias() const { return at<Param::final_norm_bias, typename A::C>(); }
  auto head_bias() const { return at<Param::head_bias, typename A::V>(); }

  /// The output projection: the token embedding's own matrix where the head is tied to it.
  auto head_weight() const {
    static_assert(M::config.head == tied || M::config.head == untied,
                  "tinygpt: head_weight knows tied and untied: write whose matrix this HeadKind multiplies by");
    constexpr Param id = M::config.head == tied ? Param::token_embedding : Param::head_weight;
    return at<id, typename A::V, typename A::C>();
  }

  E* arena() const { return arena_; }

 private:
  template <Param id, class... Axes> Tensor<E, Axes...> at(int l = 0) const {
    if constexpr (M::params.has(id)) {
      return Tensor<E, Axes...>(arena_ + M::params[id].offset + l * M::params[id].stride);
    } else {
      return {};
    }
  }

  E* arena_;
};

}  // namespace tinygpt

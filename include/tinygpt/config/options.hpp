// The words in which a user describes a GPT: one struct per option, its default beside its name in resolve.hpp.
//
//   using Model = GPT<Layers<16>, Embd<768>, Heads<12, 4>, Ctx<1024>>;
#pragma once

#include <type_traits>

#include <tinygpt/config/kinds.hpp>

namespace tinygpt {

namespace tag {
struct option {};  // what makes a struct an option of GPT<...>
struct layers : option {};
struct embd : option {};
struct heads : option {};
struct ctx : option {};
struct head_dim : option {};
struct vocab : option {};
struct ffn : option {};
struct activation : option {};
struct norm : option {};
struct positions : option {};
struct qk_norm : option {};
struct bias : option {};
struct head : option {};
}  // namespace tag

/// What a user wrote inside an option, as one of its kinds; `known` is false where it is none, and GPT<...> refuses it.
template <class Kind, auto Word> struct Choice {
  static constexpr bool known = std::is_convertible_v<decltype(Word), Kind>;
  static constexpr Kind value = [] {
    if constexpr (known) return static_cast<Kind>(Word);
    return Kind{};
  }();
};

// Required, each exactly once.

/// Number of transformer blocks (L).
template <int N> struct Layers {
  using tag = tag::layers;
  static constexpr int value = N;
};

/// Width of the residual stream (C). Also the axis of that name in tensor types.
template <int C> struct Embd {
  using tag = tag::embd;
  static constexpr int value = C;
};

/// Query heads (Hq) and the key/value heads (Hkv) that they share in equal groups; Hkv = Hq is multi-head attention,
/// Hkv = 1 multi-query. Source: Ainslie et al. 2023 (arXiv:2305.13245).
template <int Q, int KV = Q> struct Heads {
  using tag = tag::heads;
  static constexpr int query = Q, kv = KV;
};

/// Context length: the most tokens the model attends over (T).
template <int T> struct Ctx {
  using tag = tag::ctx;
  static constexpr int value = T;
};

// Optional, each at most once.

/// Size of one head (Dh). Default: C / Hq.
template <int D> struct HeadDim {
  using tag = tag::head_dim;
  static constexpr int value = D;
};

/// Number of token ids (V). Default: 50304, GPT-2's 50257 rounded up to a multiple of 128.
template <int V> struct Vocab {
  using tag = tag::vocab;
  static constexpr int value = V;
};

/// Hidden width of the feed-forward network (F). Default: 4C; for swiglu int(8C / 3).
template <int F> struct Ffn {
  using tag = tag::ffn;
  static constexpr int value = F;
};

/// Nonlinearity of the feed-forward network: relu, gelu (erf; the default), gelu_tanh or swiglu.
template <auto K> struct Activation : Choice<ActivationKind, K> { using tag = tag::activation; };

/// A number as an argument of a template, which clang 14 takes only inside a struct: Norm<rms, 1e-5> makes one.
struct Epsilon {
  double value;
  template <class Number>
  requires std::is_arithmetic_v<Number>
  constexpr Epsilon(Number x) : value(static_cast<double>(x)) {}
};

/// Normalisation: layer (LayerNorm with weight and bias; the default) or rms (RMSNorm with weight), with the epsilon
/// that is added to the mean of squares (1e-5 for layer, 1e-6 for rms). QK-norm has rms's epsilon, and 1e-6 beside
/// layer.
template <auto K, Epsilon E = default_norm_eps(Choice<NormKind, K>::value)> struct Norm : Choice<NormKind, K> {
  using tag = tag::norm;
  static constexpr double epsilon = plain_norm_eps(E.value);
};

/// How a token knows its place: learned (the default), rope (with its base) or none.
template <auto K, int Base = 10'000> struct Positions : Choice<PositionKind, K> {
  using tag = tag::positions;
  static constexpr int base = Base;
};

/// RMSNorm over each query and key head before RoPE. Source: Qwen3; Henry et al. 2020 (arXiv:2010.04245).
struct QkNorm {
  using tag = tag::qk_norm;
};

/// Which linear layers have a bias: none (the default), all (every linear of the blocks, as in GPT-2), or any of
/// attn_in | attn_out | ffn | head joined by `|`.
template <auto B> struct Bias : Choice<BiasSet, B> { using tag = tag::bias; };

/// Whether the output projection is the token embedding's matrix: tied (the default) or untied.
template <auto K> struct Head : Choice<HeadKind, K> { using tag = tag::head; };

}  // namespace tinygpt

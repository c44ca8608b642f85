// Every way an architecture can be wrong, and a function that a program hands over, each one sentence.
//
// A rule is a struct whose first template argument says whether it holds and whose others are the offenders, so that
// the compiler prints them beside the sentence. resolve.hpp decides and runs the rules in stages, so that one mistake
// gives one error. The sentences are part of the interface: tests/compile_fail holds a good and a bad twin for each.
#pragma once

#include <tinygpt/config/options.hpp>

namespace tinygpt::rule {

// Stage 1: is each argument an option?

template <bool Ok, class Argument> struct is_an_option {
  static_assert(
      Ok,
      "tinygpt: every argument of GPT<...> must be an option: write Layers<>, Embd<>, Heads<>, Ctx<>, HeadDim<>, "
      "Vocab<>, Ffn<>, Activation<>, Norm<>, Positions<>, QkNorm, Bias<> or Head<>");
};

// Stage 2: are the required ones there, and none twice?

template <bool Ok> struct has_layers {
  static_assert(Ok, "tinygpt: GPT<...> needs Layers<N>: add the number of transformer blocks");
};
template <bool Ok> struct has_embd {
  static_assert(Ok, "tinygpt: GPT<...> needs Embd<C>: add the width of the residual stream");
};
template <bool Ok> struct has_heads {
  static_assert(Ok, "tinygpt: GPT<...> needs Heads<Hq> or Heads<Hq, Hkv>: add the number of attention heads");
};
template <bool Ok> struct has_ctx {
  static_assert(Ok, "tinygpt: GPT<...> needs Ctx<T>: add the context length in tokens");
};
template <bool Ok, class Option> struct is_given_once {
  static_assert(Ok, "tinygpt: each option of GPT<...> may be given once: remove one of the two that this rule names");
};

// Stage 3: is what is inside each option one of its kinds? A kind that words.hpp lacks is none: files could not keep
// it.

template <bool Ok, class Option> struct activation_is_known {
  static_assert(Ok,
                "tinygpt: Activation<K> must be relu, gelu, gelu_tanh or swiglu: write swiglu for a gate with SiLU, "
                "gelu_tanh for gelu_new; a new kind needs its word in config/words.hpp");
};
template <bool Ok, class Option> struct norm_is_known {
  static_assert(
      Ok,
      "tinygpt: Norm<K> must be layer or rms: write layer for LayerNorm, rms for RMSNorm; a new kind needs its "
      "word in config/words.hpp");
};
template <bool Ok, class Option> struct positions_are_known {
  static_assert(Ok,
                "tinygpt: Positions<K> must be learned, rope or none: write rope for rotary positions, learned for a "
                "table; a new kind needs its word in config/words.hpp");
};
template <bool Ok, class Option> struct head_is_known {
  static_assert(Ok,
                "tinygpt: Head<K> must be tied or untied: write untied for an output projection that is not the token "
                "embedding; a new kind needs its word in config/words.hpp");
};
template <bool Ok, class Option> struct bias_is_known {
  static_assert(
      Ok,
      "tinygpt: Bias<B> must be none, all, or attn_in, attn_out, ffn and head joined by |: write Bias<all> for "
      "GPT-2's biases");
};

// Stage 4: is every number in its range?

template <bool Ok, class Option> struct is_positive {
  static_assert(Ok, "tinygpt: every size in GPT<...> must be 1 or more: correct the option that this rule names");
};

template <bool Ok, class Option> struct norm_epsilon_is_small {
  static_assert(Ok,
                "tinygpt: the epsilon of Norm<K, Epsilon> must be from 1e-12 to 0.1: write Norm<rms, 1e-5>, or leave "
                "it out");
};

// Stage 5: do the sizes fit together?

template <bool Ok, class E, class H> struct heads_divide_embd {
  static_assert(
      Ok, "tinygpt: Embd<C> must be a multiple of Heads<Hq>: head_dim = C / Hq must be whole, or give HeadDim<D>");
};
template <bool Ok, class H> struct kv_heads_divide_query_heads {
  static_assert(Ok, "tinygpt: Heads<Hq, Hkv>: Hq must be a multiple of Hkv: each key/value head serves a whole group");
};
template <bool Ok, class D> struct rope_needs_even_head_dim {
  static_assert(Ok,
                "tinygpt: Positions<rope> needs an even head size: RoPE rotates pairs: give HeadDim<D> with D even, or "
                "another Heads<Hq>");
};

// What a program hands over to be called.

template <bool Ok, class Callback> struct callback_takes_a_token {
  static_assert(Ok,
                "tinygpt: generate() calls emit(token) with a std::int32_t, or for many prompts emit(i, token) with a "
                "std::size_t before it: take these, and return nothing, or a bool of which false ends the text");
};
template <bool Ok, class Callback> struct callback_takes_text {
  static_assert(
      Ok,
      "tinygpt: write_text() calls emit(piece) with a std::string_view: take it, and return nothing, or a bool "
      "of which false ends the text");
};

}  // namespace tinygpt::rule

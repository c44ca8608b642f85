// Turns the options of GPT<...>, in any order, into one Config; nothing downstream sees the pack.
#pragma once

#include <type_traits>

#include <tinygpt/config/rules.hpp>
#include <tinygpt/config/words.hpp>

namespace tinygpt::config {

// Looking options up by tag.

template <class Option>
concept Tagged = std::is_base_of_v<tag::option, typename Option::tag>;

template <class Option, class Tag> constexpr bool has_tag() {
  if constexpr (Tagged<Option>) return std::is_same_v<typename Option::tag, Tag>;
  return false;
}

template <class Tag, class... Os> inline constexpr int times = (0 + ... + int{has_tag<Os, Tag>()});

/// The option with this tag, or Default where the user gave none.
template <class Tag, class Default, class... Os> struct find { using type = Default; };
template <class Tag, class Default, class O, class... Os>
struct find<Tag, Default, O, Os...>
    : std::conditional_t<std::is_same_v<typename O::tag, Tag>, std::type_identity<O>, find<Tag, Default, Os...>> {};

template <class Tag, class Default, class... Os> using find_t = typename find<Tag, Default, Os...>::type;

template <class... Os>
using head_dim_of =
    find_t<tag::head_dim, HeadDim<find_t<tag::embd, void, Os...>::value / find_t<tag::heads, void, Os...>::query>,
           Os...>;

template <class Option> constexpr bool sizes_positive() {
  if constexpr (requires { Option::query; })
    return Option::query > 0 && Option::kv > 0;
  else if constexpr (requires { Option::base; })
    return Option::base > 0;
  else if constexpr (requires { requires std::is_same_v<decltype(Option::value), const int>; })
    return Option::value > 0;
  else
    return true;
}

/// Is what is inside the option a kind that has a word? The table is of the kinds of this option.
template <class Option, class Kind, std::size_t N> constexpr bool known(const config_text::Words<Kind, N>& words) {
  return Option::known && config_text::has_word(words, Option::value);
}
template <class Option> constexpr bool is_bias_set() {
  return Option::known && (Option::value | BiasSet::all | BiasSet::head) == (BiasSet::all | BiasSet::head);
}

template <class Option> constexpr bool epsilon_fits() {
  if constexpr (requires { Option::epsilon; }) return norm_eps_fits(Option::epsilon);
  return true;
}

// Running rules. A broken rule is instantiated through the address of a function, which keeps the failed assertion out
// of the constant expression that needs the answer: so the sentence is the only error, on every compiler.

template <class Rule> void enforce() { static_cast<void>(sizeof(Rule)); }

template <class Rule> inline constexpr bool holds = true;
template <template <bool> class Rule> inline constexpr bool holds<Rule<false>> = false;
template <template <bool, class...> class Rule, class... Offenders>
inline constexpr bool holds<Rule<false, Offenders...>> = false;

/// True where every rule of the stage holds; otherwise reports the first that does not.
template <class... Rules>
requires(sizeof...(Rules) == 0) constexpr bool stage() { return true; }
template <class Rule, class... Rules> constexpr bool stage() {
  if constexpr (!holds<Rule>)
    return static_cast<void>(&enforce<Rule>), false;
  else
    return stage<Rules...>();
}

template <class A, class N, class P, class H, class B> constexpr bool kinds_known() {
  return stage<rule::activation_is_known<known<A>(config_text::activations), A>,
               rule::norm_is_known<known<N>(config_text::norms), N>,
               rule::positions_are_known<known<P>(config_text::positions), P>,
               rule::head_is_known<known<H>(config_text::heads), H>, rule::bias_is_known<is_bias_set<B>(), B>>();
}

template <class... Os> constexpr bool valid() {
  if constexpr (!stage<rule::is_an_option<Tagged<Os>, Os>...>()) {
    return false;
  } else if constexpr (!stage<rule::has_layers<times<tag::layers, Os...> != 0>,
                              rule::has_embd<times<tag::embd, Os...> != 0>,
                              rule::has_heads<times<tag::heads, Os...> != 0>,
                              rule::has_ctx<times<tag::ctx, Os...> != 0>,
                              rule::is_given_once<times<typename Os::tag, Os...> == 1, Os>...>()) {
    return false;
  } else if constexpr (!kinds_known<find_t<tag::activation, Activation<gelu>, Os...>,
                                    find_t<tag::norm, Norm<layer>, Os...>,
                                    find_t<tag::positions, Positions<learned>, Os...>,
                                    find_t<tag::head, Head<tied>, Os...>, find_t<tag::bias, Bias<none>, Os...>>()) {
    return false;
  } else if constexpr (!stage<rule::is_positive<sizes_positive<Os>(), Os>...,
                              rule::norm_epsilon_is_small<epsilon_fits<Os>(), Os>...>()) {
    return false;
  } else {
    using E = find_t<tag::embd, void, Os...>;
    using H = find_t<tag::heads, void, Os...>;
    constexpr bool whole = times<tag::head_dim, Os...> == 1 || E::value % H::query == 0;
    if constexpr (!stage<rule::heads_divide_embd<whole, E, H>,
                         rule::kv_heads_divide_query_heads<H::query % H::kv == 0, H>>()) {
      return false;
    } else {
      using D = head_dim_of<Os...>;
      constexpr bool rotates = find_t<tag::positions, Positions<learned>, Os...>::value == rope;
      return stage<rule::rope_needs_even_head_dim<!rotates || D::value % 2 == 0, D>>();
    }
  }
}

template <class... Os> constexpr Config resolve() {
  if constexpr (!valid<Os...>()) {
    // Already refused in one sentence; a small valid architecture keeps what follows from adding to it.
    return resolve<Layers<1>, Embd<2>, Heads<1>, Ctx<1>>();
  } else {
    using E = find_t<tag::embd, void, Os...>;
    using H = find_t<tag::heads, void, Os...>;
    using A = find_t<tag::activation, Activation<gelu>, Os...>;
    using N = find_t<tag::norm, Norm<layer>, Os...>;
    using P = find_t<tag::positions, Positions<learned>, Os...>;
    return Config{
        .layers = find_t<tag::layers, void, Os...>::value,
        .embd = E::value,
        .query_heads = H::query,
        .kv_heads = H::kv,
        .ctx = find_t<tag::ctx, void, Os...>::value,
        .head_dim = head_dim_of<Os...>::value,
        .vocab = find_t<tag::vocab, Vocab<50304>, Os...>::value,
        .ffn = find_t<tag::ffn, Ffn<default_ffn(A::value, E::value)>, Os...>::value,
        .activation = A::value,
        .norm = N::value,
        .norm_eps = N::epsilon,
        .positions = P::value,
        .rope_base = P::base,
        .qk_norm = times<tag::qk_norm, Os...> == 1,
        .bias = find_t<tag::bias, Bias<none>, Os...>::value,
        .head = find_t<tag::head, Head<tied>, Os...>::value,
    };
  }
}

}  // namespace tinygpt::config

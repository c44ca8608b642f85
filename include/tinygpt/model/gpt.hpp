// GPT<Options...>: an architecture as a type.
#pragma once

#include <concepts>

#include <tinygpt/config/resolve.hpp>
#include <tinygpt/model/cost.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt {

/// A decoder-only transformer with pre-normalised blocks:
///
///   x = token_embedding[tokens] (+ position_embedding)
///   L times:  x = x + attention(norm1(x));  x = x + feed_forward(norm2(x))
///   logits = final_norm(x) head^T
///
/// Options in any order; Layers, Embd, Heads and Ctx are required. A wrong architecture is one compile error.
/// Sources: Vaswani et al. 2017 (arXiv:1706.03762); Radford et al. 2019 (GPT-2); Touvron et al. 2023
/// (arXiv:2302.13971).
template <class... Options> struct GPT {
  static constexpr Config config = config::resolve<Options...>();
  static constexpr ParamTable params{config};

  /// Exact number of parameters.
  static constexpr std::int64_t param_count = params.param_count();

  /// Floating-point operations per token at context length `time`, a multiply-add counted as two.
  static constexpr std::int64_t forward_flops_per_token(int time = config.ctx) {
    return tinygpt::forward_flops_per_token(config, time);
  }
  static constexpr std::int64_t train_flops_per_token(int time = config.ctx) {
    return 3 * tinygpt::forward_flops_per_token(config, time);
  }
};

/// Any GPT<...>.
template <class M>
concept Architecture = requires {
  { M::config } -> std::convertible_to<Config>;
  { M::params } -> std::convertible_to<ParamTable>;
};

}  // namespace tinygpt

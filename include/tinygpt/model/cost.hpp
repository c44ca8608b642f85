// What a forward pass costs in floating-point operations.
#pragma once

#include <cstdint>

#include <tinygpt/config/kinds.hpp>

namespace tinygpt {

/// Floating-point operations of one token's forward pass at context length `time`: the matrix products, a multiply-add
/// counted as two, with causal attention at its mean length (time + 1) / 2. Element-wise work is left out, as is usual.
/// The backward pass costs twice as much. Source: Kaplan et al. 2020 (arXiv:2001.08361) section 2.1; Chowdhery et al.
/// 2022 (arXiv:2204.02311) appendix B, with the causal half.
constexpr std::int64_t forward_flops_per_token(const Config& c, int time) {
  const std::int64_t C = c.embd;
  const std::int64_t block_weights = C * c.qkv_width() + C * c.query_width() + C * c.ffn_in_width() + C * c.ffn;
  const std::int64_t attention =
      2LL * c.query_width() * (time + 1);  // scores and weighted sum: 2 x 2 x width x mean length
  return c.layers * (2 * block_weights + attention) + 2 * C * c.vocab;
}

}  // namespace tinygpt

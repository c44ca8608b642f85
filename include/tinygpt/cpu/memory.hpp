// What the cpu backend allocates beside the arenas, in bytes: the scratch of each thread, and what operations share.
#pragma once

#include <algorithm>
#include <cstdint>

#include <tinygpt/cpu/context.hpp>
#include <tinygpt/cpu/flash_attention.hpp>
#include <tinygpt/cpu/gemm.hpp>
#include <tinygpt/cpu/optimizer.hpp>
#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt::cpu {

/// What a Context with `threads` threads comes to hold in training steps of sequences of `time` tokens.
constexpr std::int64_t train_workspace(const Config& c, int time, int threads) {
  const std::int64_t each = std::max({default_scratch, gemm_scratch, attention_forward_scratch(c.head_dim),
                                      attention_backward_scratch(c.head_dim, c.query_heads / c.kv_heads, time)});
  const std::int64_t parameters = ParamTable(c).arena_size();
  const std::int64_t shared = std::max({gemm_shared_scratch, norm_backward_scratch(c.embd), norm_backward_scratch(c.head_dim),
                                        2 * ((parameters + arena_part - 1) / arena_part)});
  return size_product(sizeof(float), size_sum(size_product(threads, each), shared));
}

/// What it comes to hold in generation, where a prompt is as long as the context.
constexpr std::int64_t generate_workspace(const Config& c, int threads) {
  const std::int64_t each = std::max({default_scratch, gemm_scratch, attention_decode_scratch(c.head_dim)});
  const std::int64_t shared =
      std::max({gemm_shared_scratch_of(c.qkv_width(), c.embd), gemm_shared_scratch_of(c.embd, c.query_width()),
                gemm_shared_scratch_of(c.ffn_in_width(), c.embd), gemm_shared_scratch_of(c.embd, c.ffn)});
  return (threads * each + shared) * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace tinygpt::cpu

// What the gpu backend allocates beside the arenas, in bytes: the scratch that operations share, the workspace of
// matrix products, and the ring through which batches come. Twin of cpu/memory.hpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include <tinygpt/gpu/attention.cuh>
#include <tinygpt/gpu/embedding.cuh>
#include <tinygpt/gpu/linear.cuh>
#include <tinygpt/gpu/loss.cuh>
#include <tinygpt/gpu/norm.cuh>
#include <tinygpt/gpu/optimizer.cuh>
#include <tinygpt/gpu/qkv.cuh>
#include <tinygpt/layout/activations.hpp>

namespace tinygpt::gpu {

/// What a Context wants for training steps on batches of batch x time tokens: one operation runs at a time, so the
/// scratch is that of the most demanding one. On GPUs before Hopper it is a little less.
constexpr std::int64_t train_workspace(const Config& c, int batch, int time) {
  const std::int64_t tokens = std::int64_t{batch} * time, parameters = ParamTable(c).arena_size();
  const std::int64_t scratch = std::max({
      embed_backward_scratch(tokens, c.vocab, c.embd),
      norm_backward_scratch(tokens, c.embd),
      qkv_backward_scratch(tokens, c.head_dim),
      linear_scratch(tokens, c.qkv_width()),
      linear_scratch(tokens, c.embd),
      linear_scratch(tokens, c.ffn_in_width()),
      attention_backward_scratch(batch, time, c.query_heads),
      loss_scratch(logits_rows(c, tokens, storage_of(bf16)), c.vocab),  // in float32 they are fewer
      global_norm_scratch(parameters),
      adamw_scratch(),
  });
  return scratch + beside_scratch;
}

/// What it wants for generating `batch` sequences at once.
constexpr std::int64_t generate_workspace(const Config& c, int batch) {
  return decode_attention_scratch(batch, c.ctx, c.query_heads, c.kv_heads, c.head_dim) + beside_scratch;
}

}  // namespace tinygpt::gpu

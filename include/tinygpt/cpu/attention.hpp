// Causal grouped-query attention in float32, without ever holding a T x T matrix.
#pragma once

#include <cstdint>

#include <tinygpt/cpu/context.hpp>
#include <tinygpt/ops/dropout.hpp>

namespace tinygpt::cpu {

/// The sizes of one attention: sequences, positions, query heads, key/value heads (a divisor), floats per head.
struct AttentionShape {
  std::int64_t batch, time;
  int query_heads, kv_heads, head_dim;
};

/// Dropout of the attention weights. The mask's row is (b * query_heads + h) * width + i, its column j; width is the
/// model's context length, so that the mask does not depend on the length of this batch's sequences.
struct AttentionDropout {
  Dropout mask = {};
  std::int64_t width = 0;
};

inline void attention_forward(Context& ctx, float* y, float* lse, const float* qkv, const AttentionShape& shape,
                              const AttentionDropout& dropout = {});

inline void attention_backward(Context& ctx, float* dqkv, const float* dy, const float* y, const float* lse,
                               const float* qkv, const AttentionShape& shape, const AttentionDropout& dropout = {});

/// queries: row r is position `position + r`; q_stride floats from one row to the next, query heads first in it.
inline void attention_decode(Context& ctx, float* y, const float* q, std::int64_t q_stride, int queries,
                             std::int64_t position, const float* k_cache, const float* v_cache, int query_heads,
                             int kv_heads, int head_dim);

}  // namespace tinygpt::cpu

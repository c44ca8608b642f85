// Causal grouped-query attention, without ever holding a T x T matrix. In bf16 the weights and their gradients are
// rounded for the products, and all sums are floats.
//
// Strategy: 64 x 64 blocks of scores, online softmax (attention_blocks.hpp). Forward: a task is one head and up to 256
// queries; it packs each block of keys and values once. Backward: a task is one key/value head with all its queries;
// keys outside, queries inside, in a fixed order, so nothing is shared and nothing is atomic. The bits of a row depend
// on its position and on nothing else, and decoding runs the same pieces in the same order.
// Source: Dao 2023, "FlashAttention-2" (arXiv:2307.08691), algorithms 1 and 2.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <tinygpt/cpu/attention_blocks.hpp>
#include <tinygpt/cpu/context.hpp>
#include <tinygpt/ops/deferred.hpp>
#include <tinygpt/ops/dropout.hpp>

namespace tinygpt::cpu {

/// The sizes of one attention: sequences, positions, query heads, key/value heads (a divisor of them), floats per head.
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

namespace detail {
inline constexpr int blocks_per_task = 4;  // of queries in the forward pass
}

/// Floats of each thread's scratch that the passes take.
constexpr std::int64_t attention_forward_scratch(int head_dim) {
  return (2 + 2 * detail::blocks_per_task) * detail::panel_floats(head_dim) + 3 * detail::square_floats;
}
constexpr std::int64_t attention_backward_scratch(int head_dim, int group, std::int64_t time) {
  const std::int64_t blocks = (time + detail::attention_block - 1) / detail::attention_block;
  return (9 + group * blocks) * detail::panel_floats(head_dim) + 5 * detail::square_floats + group * time;
}
constexpr std::int64_t attention_decode_scratch(int head_dim) {
  return 4 * detail::panel_floats(head_dim) + 2 * detail::square_floats;
}

/// Attention, forward.
///
///   s_ij = q_i . k_j / sqrt(Dh),   lse_i = log sum_{j <= i} e^s_ij,   y_i = sum_{j <= i} m_ij e^(s_ij - lse_i) v_j
///
///   y    (B, T, Hq, Dh)
///   lse  (B, T, Hq)                 saved for attention_backward
///   qkv  (B, T, Hq + 2 Hkv, Dh)     query heads, then key heads, then value heads; query head h uses key h / (Hq /
///   Hkv)
///
/// m is the dropout mask, with its scale; 1 without dropout; lse is of the weights before it. Writes y and lse (=).
/// FLOPs 2 B T (T + 1) Hq Dh. Allocates only where a head is larger than 256.
template <class E>
void attention_forward(Workers& ctx, E* y, float* lse, const E* qkv, const AttentionShape& shape,
                       const AttentionDropout& dropout = {}) {
  using namespace detail;
  const std::int64_t time = shape.time;
  const int query_heads = shape.query_heads, kv_heads = shape.kv_heads, head_dim = shape.head_dim;
  const int group = query_heads / kv_heads;
  const std::int64_t stride = std::int64_t{query_heads + 2 * kv_heads} * head_dim;
  const std::int64_t y_stride = std::int64_t{query_heads} * head_dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  const std::int64_t panel = panel_floats(head_dim);
  ctx.reserve_scratch(attention_forward_scratch(head_dim));

  const std::int64_t chunk = blocks_per_task * attention_block;
  const std::int64_t chunks = (time + chunk - 1) / chunk;
  const std::int64_t heads = shape.batch * query_heads;
  ctx.parallel_for(static_cast<int>(heads * chunks), [&](int task, int thread) {
    const std::int64_t begin = (chunks - 1 - task / heads) * chunk;  // the late queries, the longest work, first
    const std::int64_t end = std::min(time, begin + chunk);
    const std::int64_t b = task % heads / query_heads;
    const int h = static_cast<int>(task % heads % query_heads);
    const E* q = qkv + b * time * stride + std::int64_t{h} * head_dim;
    const E* k = qkv + b * time * stride + std::int64_t{query_heads + h / group} * head_dim;
    const E* v = k + std::int64_t{kv_heads} * head_dim;

    float* k_columns = ctx.scratch(thread);
    float* v_pairs = k_columns + panel;
    float* q_panels = v_pairs + panel;
    float* y_panels = q_panels + blocks_per_task * panel;
    float* scores = y_panels + blocks_per_task * panel;
    float* factors = scores + square_floats;
    float* rounded_weights = factors + square_floats;
    SoftmaxState states[blocks_per_task];
    alignas(64) float shrink[attention_block] = {};
    int valid[attention_block];

    const auto rows_from = [](std::int64_t first, std::int64_t last) {
      return static_cast<int>(std::min<std::int64_t>(attention_block, last - first));
    };
    for (std::int64_t j = 0; j < end; j += attention_block) {
      const int keys = rows_from(j, end);
      pack_panel_columns(k_columns, k + j * stride, stride, keys, head_dim);
      pack_panel_pairs(v_pairs, v + j * stride, stride, keys, head_dim);
      for (std::int64_t i = std::max(begin, j); i < end; i += attention_block) {
        const int rows = rows_from(i, end);
        const std::int64_t block = (i - begin) / attention_block;
        const Reach reach = i == j ? Reach::diagonal : Reach::all;
        SoftmaxState& state = states[block];
        float* q_panel = q_panels + block * panel;
        float* y_panel = y_panels + block * panel;
        if (j == 0) {
          pack_panel_rows(q_panel, q + i * stride, stride, rows, head_dim);
          state.reset();
        }
        for (int r = 0; r < rows; ++r) valid[r] = reach == Reach::diagonal ? r + 1 : keys;
        multiply_scores<E>(rows, keys, head_dim, q_panel, k_columns, scores, reach);
        softmax_block(state, scores, rows, valid, scale, shrink);
        if (dropout.mask) {
          mask_block(factors, dropout.mask, (b * query_heads + h) * dropout.width + i, j, dropout.width, rows);
          for (int e = 0; e < rows * attention_block; e += vector_width) {
            store(scores + e, load(scores + e) * load(factors + e));
          }
        }
        if (j != 0) scale_panel(y_panel, rows, head_dim, shrink);
        multiply_weights<E>(rows, keys, head_dim, square_rows<E>(rounded_weights, scores, rows), v_pairs, y_panel,
                            j == 0 ? Accumulate::no : Accumulate::yes, reach);
      }
    }
    for (std::int64_t i = begin; i < end; i += attention_block) {
      const std::int64_t block = (i - begin) / attention_block;
      const int rows = rows_from(i, end);
      SoftmaxState& state = states[block];
      for (int r = 0; r < rows; ++r) {
        lse[(b * time + i + r) * query_heads + h] = state.largest[r] + std::log(state.sum[r]);
        state.sum[r] = 1.0f / state.sum[r];
      }
      unpack_panel(y + (b * time + i) * y_stride + std::int64_t{h} * head_dim, y_stride, y_panels + block * panel, rows,
                   head_dim, state.sum);
    }
  });
}

namespace detail {

/// weights (rows, 64): scores s, which count times scale, become p = e^(s - lse), times the mask m where there is one;
/// slopes dp become the gradient of s, p (m dp - delta). Zeros from valid[r] on.
TINYGPT_CPU_NOINLINE inline void softmax_backward_block(float* scores, float* slopes, int rows, const int* valid,
                                                        float scale, const float* lse, const float* delta,
                                                        const float* factors) {
  for (int r = 0; r < rows; ++r) {
    float* p_row = scores + r * attention_block;
    float* dp_row = slopes + r * attention_block;
    Floats x[row_vectors];
    load_scores(x, p_row, valid[r], scale);
    unroll<row_vectors>([&](auto v) __attribute__((always_inline)) {
      const int c = v * vector_width;
      const Floats p = exp_weight(x[v] - lse[r]);
      const Floats m = factors ? load(factors + r * attention_block + c) : broadcast(1.0f);
      const Floats slope = p * (load(dp_row + c) * m - delta[r]);
      store(p_row + c, p * m);
      store(dp_row + c, select(iota() < valid[r] - c, slope, Floats{}));
    });
  }
}

template <class E> float dot(const E* a, const E* b, int n) {
  Floats total = {};
  int i = 0;
  for (; i + vector_width <= n; i += vector_width) total = fma(load(a + i), load(b + i), total);
  if (i < n) total = fma(load_first(a + i, n - i), load_first(b + i, n - i), total);
  return sum(total);
}

}  // namespace detail

/// Attention, backward.
///
///   dp_ij = m_ij dy_i . v_j,   ds_ij = p_ij (dp_ij - delta_i),   delta_i = dy_i . y_i,   p_ij = e^(s_ij - lse_i)
///   dv_j = sum_i m_ij p_ij dy_i,   dq_i = sum_j ds_ij k_j / sqrt(Dh),   dk_j = sum_i ds_ij q_i / sqrt(Dh)
///
///   dqkv  (B, T, Hq + 2 Hkv, Dh)    all of it written (=)
///
/// dy as y; the rest as attention_forward had and wrote it, the same dropout included. Scores are computed again, so
/// the FLOPs are 5 B T (T + 1) Hq Dh. Runs on at most B * Hkv threads.
template <class E>
void attention_backward(Workers& ctx, E* dqkv, const E* dy, const E* y, const float* lse, const E* qkv,
                        const AttentionShape& shape, const AttentionDropout& dropout = {}) {
  using namespace detail;
  const std::int64_t time = shape.time;
  const int query_heads = shape.query_heads, kv_heads = shape.kv_heads, head_dim = shape.head_dim;
  const int group = query_heads / kv_heads;
  const std::int64_t stride = std::int64_t{query_heads + 2 * kv_heads} * head_dim;
  const std::int64_t y_stride = std::int64_t{query_heads} * head_dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  const std::int64_t panel = panel_floats(head_dim);
  const std::int64_t blocks = (time + attention_block - 1) / attention_block;
  constexpr bool in_pairs = per_word<E> == 2;  // else a panel's pairs are its rows
  ctx.reserve_scratch(attention_backward_scratch(head_dim, group, time));

  ctx.parallel_for(static_cast<int>(shape.batch * kv_heads), [&](int task, int thread) {
    const std::int64_t b = task / kv_heads;
    const int kv = task % kv_heads;
    const std::int64_t first_row = b * time;
    const std::int64_t k_offset = first_row * stride + std::int64_t{query_heads + kv} * head_dim;
    const std::int64_t v_offset = k_offset + std::int64_t{kv_heads} * head_dim;

    float* k_columns = ctx.scratch(thread);
    float* v_columns = k_columns + panel;
    float* k_pairs = v_columns + panel;
    float* q_rows = k_pairs + panel;
    float* q_pairs = q_rows + panel;
    float* dy_rows = q_pairs + panel;
    float* dy_pairs = dy_rows + panel;
    float* dk_panel = dy_pairs + panel;
    float* dv_panel = dk_panel + panel;
    float* dq_panels = dv_panel + panel;  // of all queries, as each block of keys adds to those after it
    float* scores = dq_panels + group * blocks * panel;
    float* slopes = scores + square_floats;
    float* factors = slopes + square_floats;
    float* rounded_pairs = factors + square_floats;
    float* rounded_rows = rounded_pairs + square_floats;
    float* delta = rounded_rows + square_floats;
    int valid[attention_block];
    float row_lse[attention_block], ones[attention_block], scales[attention_block];
    std::fill_n(ones, attention_block, 1.0f);
    std::fill_n(scales, attention_block, scale);

    for (int g = 0; g < group; ++g) {
      for (std::int64_t i = 0; i < time; ++i) {
        const std::int64_t at = (first_row + i) * y_stride + std::int64_t{kv * group + g} * head_dim;
        delta[g * time + i] = dot(dy + at, y + at, head_dim);
      }
    }
    for (std::int64_t j = 0; j < time; j += attention_block) {
      const int keys = static_cast<int>(std::min<std::int64_t>(attention_block, time - j));
      pack_panel_columns(k_columns, qkv + k_offset + j * stride, stride, keys, head_dim);
      pack_panel_columns(v_columns, qkv + v_offset + j * stride, stride, keys, head_dim);
      pack_panel_pairs(k_pairs, qkv + k_offset + j * stride, stride, keys, head_dim);
      for (int g = 0; g < group; ++g) {
        const int h = kv * group + g;
        for (std::int64_t i = j; i < time; i += attention_block) {
          const int rows = static_cast<int>(std::min<std::int64_t>(attention_block, time - i));
          const std::int64_t q_offset = (first_row + i) * stride + std::int64_t{h} * head_dim;
          const Reach reach = i == j ? Reach::diagonal : Reach::all;
          const Accumulate add = g == 0 && i == j ? Accumulate::no : Accumulate::yes;
          for (int r = 0; r < rows; ++r) {
            valid[r] = reach == Reach::diagonal ? r + 1 : keys;
            row_lse[r] = lse[(first_row + i + r) * query_heads + h];
          }
          const E* q_block = qkv + q_offset;
          const E* dy_block = dy + (first_row + i) * y_stride + std::int64_t{h} * head_dim;
          float* dq_panel = dq_panels + (g * blocks + i / attention_block) * panel;
          pack_panel_pairs(q_pairs, q_block, stride, rows, head_dim);
          pack_panel_pairs(dy_pairs, dy_block, y_stride, rows, head_dim);
          if constexpr (in_pairs) {
            pack_panel_rows(q_rows, q_block, stride, rows, head_dim);
            pack_panel_rows(dy_rows, dy_block, y_stride, rows, head_dim);
          }
          multiply_scores<E>(rows, keys, head_dim, in_pairs ? q_rows : q_pairs, k_columns, scores, reach);
          multiply_scores<E>(rows, keys, head_dim, in_pairs ? dy_rows : dy_pairs, v_columns, slopes, reach);
          if (dropout.mask) {
            mask_block(factors, dropout.mask, (b * query_heads + h) * dropout.width + i, j, dropout.width, rows);
          }
          softmax_backward_block(scores, slopes, rows, valid, scale, row_lse, delta + g * time + i,
                                 dropout.mask ? factors : nullptr);
          multiply_weights_transposed<E>(rows, keys, head_dim, square_pairs<E>(rounded_pairs, scores, rows), dy_pairs,
                                         dv_panel, add, reach);
          multiply_weights_transposed<E>(rows, keys, head_dim, square_pairs<E>(rounded_pairs, slopes, rows), q_pairs,
                                         dk_panel, add, reach);
          multiply_weights<E>(rows, keys, head_dim, square_rows<E>(rounded_rows, slopes, rows), k_pairs, dq_panel,
                              j == 0 ? Accumulate::no : Accumulate::yes, reach);
          const bool last = i == j;  // no later keys add to these queries
          if (last) unpack_panel(dqkv + q_offset, stride, dq_panel, rows, head_dim, scales);
        }
      }
      unpack_panel(dqkv + k_offset + j * stride, stride, dk_panel, keys, head_dim, scales);
      unpack_panel(dqkv + v_offset + j * stride, stride, dv_panel, keys, head_dim, ones);
    }
  });
}

/// Attention of new positions of each sequence over its key/value cache.
///
///   y        (B, n, Hq, Dh)               n is shape.time
///   qkv      (B, n, Hq + 2 Hkv, Dh)       row r of sequence b is position first_position(b) + r; queries are read
///   k_cache  (B, positions, Hkv, Dh)      filled up to position first_position(b) + n - 1; of what is after them no
///   v_cache  (B, positions, Hkv, Dh)      number counts
///
/// Writes y (=): bit for bit what attention_forward writes for these positions of the whole sequence, without dropout.
/// FLOPs 4 B n position Hq Dh, bytes 8 B position Hkv Dh. Runs on at most B Hkv threads where n Hq / Hkv <= 64.
template <class E>
void attention_decode(Workers& ctx, E* y, const E* qkv, FirstPosition first_position, const E* k_cache,
                      const E* v_cache, std::int64_t positions, const AttentionShape& shape) {
  using namespace detail;
  const int n = static_cast<int>(shape.time), kv_heads = shape.kv_heads, head_dim = shape.head_dim;
  const int group = shape.query_heads / kv_heads;
  const std::int64_t y_stride = std::int64_t{shape.query_heads} * head_dim, stride = std::int64_t{kv_heads} * head_dim;
  const std::int64_t q_stride = y_stride + 2 * stride;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  const std::int64_t panel = panel_floats(head_dim);
  ctx.reserve_scratch(attention_decode_scratch(head_dim));

  const int all_rows = n * group;  // row r is query r / group with head r % group of the key/value head
  const int row_blocks = (all_rows + attention_block - 1) / attention_block;
  const bool in_place = n == 1 && group <= few_rows;  // too little work to pack keys and values for it
  ctx.parallel_for(static_cast<int>(shape.batch) * kv_heads * row_blocks, [&](int task, int thread) {
    const int kv = task % kv_heads;
    const int first = task / kv_heads % row_blocks * attention_block;
    const std::int64_t b = task / kv_heads / row_blocks;
    const int rows = std::min(attention_block, all_rows - first);
    const std::int64_t position = first_position(b);
    const E* q = qkv + b * n * q_stride;
    const E* k = k_cache + b * positions * stride + std::int64_t{kv} * head_dim;
    const E* v = v_cache + b * positions * stride + std::int64_t{kv} * head_dim;

    float* k_columns = ctx.scratch(thread);
    float* v_pairs = k_columns + panel;
    float* q_rows = v_pairs + panel;
    float* y_panel = q_rows + panel;
    float* scores = y_panel + panel;
    float* rounded_weights = scores + square_floats;
    SoftmaxState state;
    state.reset();
    alignas(64) float shrink[attention_block] = {};
    int valid[attention_block];
    const auto head_offset = [&](int r) { return std::int64_t{kv * group + (first + r) % group} * head_dim; };
    const auto query = [&](int r) { return (first + r) / group; };

    for (int r = 0; !in_place && r < rows; ++r) {
      pack_panel_rows(q_rows + r * attention_block, q + query(r) * q_stride + head_offset(r), q_stride, 1, head_dim);
    }
    const std::int64_t end = position + query(rows - 1) + 1;
    for (std::int64_t j = 0; j < end; j += attention_block) {
      const int keys = static_cast<int>(std::min<std::int64_t>(attention_block, end - j));
      for (int r = 0; r < rows; ++r) {
        valid[r] =
            static_cast<int>(std::clamp<std::int64_t>(position + query(r) + 1 - j, 0, std::int64_t{attention_block}));
      }
      const Accumulate add = j == 0 ? Accumulate::no : Accumulate::yes;
      if (in_place) {
        // Whole vectors of keys: what is not there yet does not count.
        const int columns = (keys + vector_width - 1) / vector_width * vector_width;
        multiply_few_rows(rows, head_dim, attention_block, q + head_offset(0), head_dim, k + j * stride, stride,
                          std::min<std::int64_t>(columns, positions - j), scores, attention_block, Accumulate::no);
      } else {
        pack_panel_columns(k_columns, k + j * stride, stride, keys, head_dim);
        pack_panel_pairs(v_pairs, v + j * stride, stride, keys, head_dim);
        multiply_scores<E>(rows, keys, head_dim, q_rows, k_columns, scores, Reach::all);
      }
      softmax_block(state, scores, rows, valid, scale, shrink);
      if (j != 0) scale_panel(y_panel, rows, head_dim, shrink);
      const float* const weights = square_rows<E>(rounded_weights, scores, rows);
      if (in_place) {
        multiply_weights_in_place(rows, keys, head_dim, weights, v + j * stride, stride, y_panel, add);
      } else {
        multiply_weights<E>(rows, keys, head_dim, weights, v_pairs, y_panel, add, Reach::all);
      }
    }
    for (int r = 0; r < rows; ++r) {
      const float inverse = 1.0f / state.sum[r];
      unpack_panel(y + (b * n + query(r)) * y_stride + head_offset(r), y_stride, y_panel + r * attention_block, 1,
                   head_dim, &inverse);
    }
  });
}

}  // namespace tinygpt::cpu

// Causal grouped-query attention. Twin of cpu/attention.hpp: bfloat16 on tensor cores (flash_attention.cuh), float and
// heads larger than 128 without (flash_attention_float.cuh), one new position over a cache by decode_attention.cuh.
#pragma once

#include <cmath>

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/decode_attention.cuh>
#include <tinygpt/gpu/flash_attention.cuh>
#include <tinygpt/gpu/flash_attention_float.cuh>
#include <tinygpt/gpu/launch.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

namespace detail {

/// Are these heads for tensor cores? Of larger ones the registers do not hold the sums.
template <class E, int D>
inline constexpr bool on_tensor_cores = std::is_same_v<E, bfloat16> && (padded_head<D> <= 128);

/// All heads of one kind in a joined tensor: `first` heads from its beginning.
template <int D, class E> HeadArray<E> heads_at(E* data, int first, int width, int time) {
  return {data + std::int64_t{first} * D, std::int64_t{width} * time, width};
}

template <class E, int D, Dropping dropping>
void attend(Context<E>& ctx, HeadArray<E> y, float* lse, HeadArray<const E> q, HeadArray<const E> k,
            HeadArray<const E> v, const AttentionShape& shape, FirstPosition first_position, const Dropout& dropout) {
  const std::int64_t heads = std::int64_t{shape.sequences} * shape.query_heads;
  if constexpr (on_tensor_cores<E, D>) {
    using Cut = FlashForward<D, dropping>;
    launch<flash_forward<D, dropping>>(Grid{blocks_for(heads * blocks_for(shape.queries, Cut::queries), 1),
                                            flash_threads, sizeof(typename Cut::Shared), ctx.stream()},
                                       y, lse, q, k, v, shape, first_position, dropout);
  } else {
    launch<plain_forward<E, D, dropping>>(
        Grid{blocks_for(heads * blocks_for(shape.queries, plain_forward_cut<D>().rows), 1), plain_threads,
             sizeof(PlainForwardShared<D>), ctx.stream()},
        y, lse, q, k, v, shape, first_position, dropout);
  }
}

template <class E, int D, Resident resident, Dropping dropping>
void attend_backward(Context<E>& ctx, HeadArray<E> d_x, HeadArray<E> d_z, HeadArray<const E> d_y, HeadArray<const E> q,
                     HeadArray<const E> k, HeadArray<const E> v, const QueryStatistics* statistics,
                     const AttentionShape& shape, const Dropout& dropout) {
  const std::int64_t heads =
      std::int64_t{shape.sequences} * (resident == Resident::keys ? shape.kv_heads : shape.query_heads);
  if constexpr (on_tensor_cores<E, D>) {
    using Cut = FlashBackward<D, resident, dropping>;
    launch<flash_backward<D, resident, dropping>>(Grid{blocks_for(heads * blocks_for(shape.queries, Cut::rows), 1),
                                                       flash_threads, sizeof(typename Cut::Shared), ctx.stream()},
                                                  d_x, d_z, d_y, q, k, v, statistics, shape, dropout);
  } else {
    launch<plain_backward<E, D, resident, dropping>>(
        Grid{blocks_for(heads * blocks_for(shape.queries, plain_backward_cut<D>().rows), 1), plain_threads,
             sizeof(PlainBackwardShared<D>), ctx.stream()},
        d_x, d_z, d_y, q, k, v, statistics, shape, dropout);
  }
}

template <int Q, int KV, int D> AttentionShape attention_shape(int batch, int time) {
  return {batch, time, Q, KV, static_cast<float>(1 / std::sqrt(static_cast<double>(D)))};
}

}  // namespace detail

/// Bytes of scratch that the backward pass of a batch takes, and decoding with a cache.
constexpr std::int64_t attention_backward_scratch(int batch, int time, int query_heads) {
  return std::int64_t{batch} * query_heads * statistics_rows(time) * std::int64_t{sizeof(QueryStatistics)};
}
constexpr std::int64_t decode_attention_scratch(int batch, int ctx, int query_heads, int kv_heads, int head_dim) {
  return std::int64_t{batch} * query_heads * decode_splits(ctx, query_heads, kv_heads) * ((head_dim + 3) / 2 * 8);
}

/// FLOPs 2 B T (T + 1) Hq Dh; bytes: qkv and y once, keys and values again from the second-level cache.
template <class E, int Q, int KV, int D>
void attention(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
               Out<float, Batch<dyn>, Time<dyn>, PerHead<Q>> lse,
               Tensor<const E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, Dropout dropout) {
  const int B = qkv.template extent<Batch>(), T = qkv.template extent<Time>();
  const auto shape = detail::attention_shape<Q, KV, D>(B, T);
  const auto heads = [&](int first) { return detail::heads_at<D>(qkv.data(), first, qkv.width(), T); };
  const auto y_heads = detail::heads_at<D>(y.data(), 0, y.width(), T);
  if (dropout) {
    detail::attend<E, D, Dropping::yes>(ctx, y_heads, lse.data(), heads(0), heads(Q), heads(Q + KV), shape, 0, dropout);
  } else {
    detail::attend<E, D, Dropping::no>(ctx, y_heads, lse.data(), heads(0), heads(Q), heads(Q + KV), shape, 0, dropout);
  }
}

/// FLOPs 7 B T (T + 1) Hq Dh.
template <class E, int Q, int KV, int D>
void attention_backward(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv,
                        In<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> d_y,
                        In<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
                        In<float, Batch<dyn>, Time<dyn>, PerHead<Q>> lse,
                        In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, Dropout dropout) {
  const int B = qkv.template extent<Batch>(), T = qkv.template extent<Time>();
  const auto shape = detail::attention_shape<Q, KV, D>(B, T);
  auto* const statistics = static_cast<QueryStatistics*>(ctx.scratch(attention_backward_scratch(B, T, Q)));
  const std::int64_t rows = B * statistics_rows(T) * Q;
  launch<query_statistics<E, D>>(
      Grid{blocks_for(rows * lanes_per_row<E, D>(), statistics_threads), statistics_threads, 0, ctx.stream()},
      statistics, d_y.data(), y.data(), lse.data(), shape);

  const auto heads = [&](int first) { return detail::heads_at<D>(qkv.data(), first, qkv.width(), T); };
  const auto d_heads = [&](int first) { return detail::heads_at<D>(d_qkv.data(), first, d_qkv.width(), T); };
  const auto d_y_heads = detail::heads_at<D>(d_y.data(), 0, d_y.width(), T);
  const auto pass = [&]<Resident resident, Dropping dropping>() {
    const auto d_x = d_heads(resident == Resident::keys ? Q : 0);
    detail::attend_backward<E, D, resident, dropping>(ctx, d_x, d_heads(Q + KV), d_y_heads, heads(0), heads(Q),
                                                      heads(Q + KV), statistics, shape, dropout);
  };
  if (dropout) {
    pass.template operator()<Resident::keys, Dropping::yes>();
    pass.template operator()<Resident::queries, Dropping::yes>();
  } else {
    pass.template operator()<Resident::keys, Dropping::no>();
    pass.template operator()<Resident::queries, Dropping::no>();
  }
}

/// Bytes of one new position of each sequence: its cache up to it, once.
template <class E, int Q, int KV, int D, int N>
void decode_attention(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
                      Tensor<E, Batch<dyn>, Ctx<N>, KvHeads<KV, D>> keys,
                      Out<E, Batch<dyn>, Ctx<N>, KvHeads<KV, D>> values,
                      Tensor<const E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, FirstPosition first_position) {
  const int B = qkv.template extent<Batch>(), T = qkv.template extent<Time>();
  const auto shape = detail::attention_shape<Q, KV, D>(B, T);
  if (T == 1) {
    constexpr int splits = decode_splits(N, Q, KV), heads = decode_heads(Q / KV);
    static_assert(sizeof(SplitResult<D>) * Q * splits <= decode_attention_scratch(1, N, Q, KV, D));
    auto* const results = static_cast<SplitResult<D>*>(ctx.scratch(decode_attention_scratch(B, N, Q, KV, D)));
    const auto blocks = blocks_for(std::int64_t{B} * splits * KV * decode_blocks_per_group(Q / KV), 1);
    launch<decode_split<E, D, heads>>(
        Grid{blocks, decode_threads, sizeof(SplitResult<D>) * decode_warps * heads, ctx.stream()}, results, keys.data(),
        values.data(), qkv.data(), shape, N, splits, first_position);
    launch<decode_combine<E, D>>(Grid{blocks_for(std::int64_t{B} * Q, 1), combine_threads, 0, ctx.stream()}, y.data(),
                                 results, Q, splits, first_position);
    return;
  }
  constexpr int kv_width = KvHeads<KV, D>::value, vec = head_vec<E, D>;
  launch<append_to_cache<E, vec>>(
      Grid{blocks_for(qkv.rows() * (kv_width / vec), append_threads), append_threads, 0, ctx.stream()}, keys.data(),
      values.data(), qkv.data(), std::int64_t{qkv.width()}, std::int64_t{Q} * D, kv_width, qkv.rows(), T, N,
      first_position);
  const auto k = detail::heads_at<D>(read(keys).data(), 0, kv_width, N),
             v = detail::heads_at<D>(read(values).data(), 0, kv_width, N);
  detail::attend<E, D, Dropping::no>(ctx, detail::heads_at<D>(y.data(), 0, y.width(), T), nullptr,
                                     detail::heads_at<D>(qkv.data(), 0, qkv.width(), T), k, v, shape, first_position,
                                     {});
}

}  // namespace tinygpt::gpu

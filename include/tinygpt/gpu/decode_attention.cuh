// Attention of one new position of each sequence over its key/value cache. Twin of cpu/flash_attention.hpp's
// attention_decode.
//
// The cache is read once, by 16 bytes per lane, and nothing is computed twice: a few lanes share a position, a block
// has up to four query heads that share their keys, and the context is cut into splits whose number depends on the
// shape of the cache alone. The grid is the same at every position (a recorded graph must be); blocks beyond it have no
// work. A second kernel adds the splits in their order. Lanes keep their own softmax, so the loop has no barrier.
// Source: Dao et al. 2023, "Flash-Decoding for long-context inference".
#pragma once

#include <tinygpt/gpu/attention_tile.cuh>
#include <tinygpt/gpu/rows.cuh>

namespace tinygpt::gpu {

inline constexpr int decode_warps = 4, decode_threads = decode_warps * warp_size;

/// How many query heads of a group one block takes, and how many blocks a group takes.
constexpr int decode_blocks_per_group(int group) { return (group + 3) / 4; }
constexpr int decode_heads(int group) {
  return (group + decode_blocks_per_group(group) - 1) / decode_blocks_per_group(group);
}

/// Into how many parts the context is cut: 256 blocks fill any GPU, and fewer than 64 positions are not worth a block.
constexpr int decode_splits(int ctx, int query_heads, int kv_heads) {
  const int wanted = 256 / (kv_heads * decode_blocks_per_group(query_heads / kv_heads)), most = (ctx + 63) / 64;
  return wanted < 1 ? 1 : wanted < most ? wanted : most;
}

/// Positions of each split when `seen` of them are there.
TINYGPT_HD constexpr int decode_positions(int seen, int splits) {
  const int even = ((seen + splits - 1) / splits + 31) / 32 * 32;
  return even < 64 ? 64 : even;
}

/// What a split leaves of one query head: its largest score (to base 2), the sum of its weights, and D sums of values.
template <int D> struct alignas(8) SplitResult {
  float top, total;
  float sums[D];
};

/// The sum over the positions of a group of lanes of weights times values, as online softmax leaves it.
template <int N> struct OnlineSums {
  float top = -INFINITY, total = 0;
  float sums[N] = {};

  /// Makes `highest` the largest score that the sums are relative to. Nothing may have been seen yet, on either side.
  __device__ __forceinline__ float raise(float highest) {
    const float shrink = top == highest ? 1.0f : exp2f(top - highest);
    top = highest;
    total *= shrink;
#pragma unroll
    for (int i = 0; i < N; ++i) sums[i] *= shrink;
    return shrink;
  }
};

template <class E, int D> struct DecodeCut {
  static constexpr int vec = head_vec<E, D>, chunks = D / vec;
  static constexpr int lanes = chunks > 16 ? 32 : chunks > 8 ? 16 : chunks > 4 ? 8 : chunks > 2 ? 4 : chunks;
  static constexpr int per_lane = (chunks + lanes - 1) / lanes;  ///< chunks of a position
  static constexpr int numbers = per_lane * vec;                 ///< of a position
  static constexpr int unroll = numbers <= 8 ? 4 : 1;            ///< positions at once
  static constexpr int together = decode_threads / lanes;        ///< positions side by side in the block
};

/// Keys and values of the new position of each sequence go into its cache (positions, Hkv, D), which is followed by the
/// next sequence's; `results` [sequence][query head][split]. With one head four blocks share a multiprocessor; were
/// ptxas not told, it would rather spill than have no more than four.
template <class E, int D, int Heads>
__global__ void __launch_bounds__(decode_threads, (Heads == 1 ? 4 : 1))
    decode_split(SplitResult<D>* results, E* keys, E* values, const E* qkv, AttentionShape shape, int positions,
                 int splits, FirstPosition first_position) {
  using Cut = DecodeCut<E, D>;
  constexpr int vec = Cut::vec, lanes = Cut::lanes, unroll = Cut::unroll, numbers = Cut::numbers;
  struct Shared {
    SplitResult<D> of_warp[decode_warps][Heads];
  };
  auto& shared = shared_memory<Shared>();

  const int blocks_per_group = (shape.group() + Heads - 1) / Heads;
  const int split = static_cast<int>(blockIdx.x) % splits, part = static_cast<int>(blockIdx.x) / splits;
  const int group = part / blocks_per_group, first_head = part % blocks_per_group * Heads;  // within the group
  const int b = group / shape.kv_heads, kv = group % shape.kv_heads;
  const int position = first_position(b), seen = position + 1, each = decode_positions(seen, splits);
  const int begin = split * each, end = min(seen, begin + each);
  const std::int64_t stride = std::int64_t{shape.kv_heads} * D;
  const E* const queries = qkv + b * (std::int64_t{shape.query_heads} * D + 2 * stride);
  const E* const new_key = queries + (std::int64_t{shape.query_heads} + kv) * D;
  const E* const new_value = new_key + stride;
  E* const key_head = keys + b * positions * stride + std::int64_t{kv} * D;
  E* const value_head = values + b * positions * stride + std::int64_t{kv} * D;
  if (begin >= end) return;  // the whole block

  if (end == seen && first_head == 0) {
    for (int d = static_cast<int>(threadIdx.x); d < D; d += decode_threads) {
      key_head[position * stride + d] = new_key[d];
      value_head[position * stride + d] = new_value[d];
    }
  }

  const int lane = lane_id() % lanes, place = static_cast<int>(threadIdx.x) / lanes;
  const auto column = [&](int i) { return (i * lanes + lane) * vec; };  // of chunk i of this lane
  float q[Heads][numbers];
  OnlineSums<numbers> sums[Heads];
#pragma unroll
  for (int h = 0; h < Heads; ++h) {
    const int head = kv * shape.group() + min(first_head + h, shape.group() - 1);
#pragma unroll
    for (int i = 0; i < Cut::per_lane; ++i) {
      Vec<float, vec> x = {};
      if (column(i) < D) x = to_float(load_vec<vec>(queries + std::int64_t{head} * D + column(i)));
#pragma unroll
      for (int e = 0; e < vec; ++e) q[h][i * vec + e] = x[e] * (shape.scale * log2_of_e);
    }
  }

  for (int from = begin; from < end; from += unroll * Cut::together) {
    Vec<E, vec> k[unroll][Cut::per_lane], v[unroll][Cut::per_lane];
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      const int at = from + u * Cut::together + place;
      const E* const key = at == position ? new_key : key_head + at * stride;
      const E* const value = at == position ? new_value : value_head + at * stride;
#pragma unroll
      for (int i = 0; i < Cut::per_lane; ++i) {
        const bool valid = at < end && column(i) < D;
        k[u][i] = v[u][i] = {};
        if (valid) k[u][i] = load_vec<vec>(key + column(i));
        if (valid) v[u][i] = load_vec<vec>(value + column(i));
      }
    }
#pragma unroll
    for (int h = 0; h < Heads; ++h) {
      float score[unroll], highest = sums[h].top;
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < numbers; ++i) dot = fmaf(q[h][i], static_cast<float>(k[u][i / vec][i % vec]), dot);
        dot = warp_sum<lanes>(dot);
        score[u] = from + u * Cut::together + place < end ? dot : -INFINITY;
        highest = fmaxf(highest, score[u]);
      }
      sums[h].raise(highest);
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        const float p = score[u] == -INFINITY ? 0.0f : exp2f(score[u] - highest);
        sums[h].total += p;
#pragma unroll
        for (int i = 0; i < numbers; ++i) {
          sums[h].sums[i] = fmaf(p, static_cast<float>(v[u][i / vec][i % vec]), sums[h].sums[i]);
        }
      }
    }
  }

#pragma unroll
  for (int h = 0; h < Heads; ++h) {
    sums[h].raise(warp_max(sums[h].top));
#pragma unroll
    for (int step = lanes; step < warp_size; step *= 2) {
      sums[h].total += __shfl_xor_sync(full_warp, sums[h].total, step);
#pragma unroll
      for (int i = 0; i < numbers; ++i) sums[h].sums[i] += __shfl_xor_sync(full_warp, sums[h].sums[i], step);
    }
    SplitResult<D>& mine = shared.of_warp[warp_id()][h];
    if (lane_id() == 0) mine.top = sums[h].top, mine.total = sums[h].total;
    if (lane_id() < lanes) {
#pragma unroll
      for (int i = 0; i < numbers; ++i) {
        if (column(i / vec) < D) mine.sums[column(i / vec) + i % vec] = sums[h].sums[i];
      }
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < Heads * D; i += decode_threads) {
    const int h = i / D, d = i % D;
    if (first_head + h >= shape.group()) continue;
    OnlineSums<1> sum;
#pragma unroll
    for (int w = 0; w < decode_warps; ++w) sum.top = fmaxf(sum.top, shared.of_warp[w][h].top);
#pragma unroll
    for (int w = 0; w < decode_warps; ++w) {
      const SplitResult<D>& other = shared.of_warp[w][h];
      const float factor = exp2f(other.top - sum.top);
      sum.total = fmaf(other.total, factor, sum.total);
      sum.sums[0] = fmaf(other.sums[d], factor, sum.sums[0]);
    }
    SplitResult<D>& result =
        results[(std::int64_t{b} * shape.query_heads + kv * shape.group() + first_head + h) * splits + split];
    result.sums[d] = sum.sums[0];
    if (d == 0) result.top = sum.top, result.total = sum.total;
  }
}

inline constexpr int combine_threads = 64;

/// y (B, Hq, D) of the splits that had work: a block per query head.
template <class E, int D>
__global__ void __launch_bounds__(combine_threads)
    decode_combine(E* y, const SplitResult<D>* results, int query_heads, int splits, FirstPosition first_position) {
  const int seen = first_position(static_cast<int>(blockIdx.x) / query_heads) + 1,
            each = decode_positions(seen, splits), used = (seen + each - 1) / each;
  const SplitResult<D>* const own = results + std::int64_t{blockIdx.x} * splits;
  float top = -INFINITY;
  for (int s = 0; s < used; ++s) top = fmaxf(top, own[s].top);
  for (int d = static_cast<int>(threadIdx.x); d < D; d += combine_threads) {
    float total = 0, sum = 0;
    for (int s = 0; s < used; ++s) {
      const float factor = exp2f(own[s].top - top);
      total = fmaf(own[s].total, factor, total);
      sum = fmaf(own[s].sums[d], factor, sum);
    }
    y[std::int64_t{blockIdx.x} * D + d] = from_float<E>(sum / total);
  }
}

inline constexpr int append_threads = 256;

/// Keys and values of several new positions of each sequence go into its cache, which holds `capacity` positions.
template <class E, int N>
__global__ void __launch_bounds__(append_threads)
    append_to_cache(E* keys, E* values, const E* qkv, std::int64_t token, std::int64_t key_offset, int kv_width,
                    std::int64_t rows, int T, int capacity, FirstPosition first_position) {
  const std::int64_t steps = kv_width / N, i = global_thread();
  const std::int64_t row = i / steps, column = i % steps * N;
  if (row >= rows) return;
  const Token place = token_of(row, T);
  const std::int64_t to = (place.b * capacity + first_position(place.b) + place.t) * kv_width + column;
  const E* const from = qkv + row * token + key_offset + column;
  store_vec(keys + to, load_vec<N>(from));
  store_vec(values + to, load_vec<N>(from + kv_width));
}

}  // namespace tinygpt::gpu

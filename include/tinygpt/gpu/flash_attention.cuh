// Causal grouped-query attention in bfloat16 on tensor cores. Twin of cpu/flash_attention.hpp.
//
// Forward: each warp holds 16 or 32 queries in registers, tiles of keys and values stream through shared memory in two
// stages of asynchronous copies, online softmax. Backward: one kernel, run twice. With keys resident it makes d_k and
// d_v of all query heads of a group, with queries resident d_q; the other rows stream past. So nothing is atomic, every
// sum has one order, and the only scratch is two numbers per query. That computes scores and their derivatives twice, 7
// products instead of 5: 2 T more FLOPs per number of d_q, where partial sums of d_q in memory would cost 8 bytes per
// 128 keys, T / 32 bytes on average: on an H100 twice the time, and gigabytes.
//
// Source: Dao 2023, "FlashAttention-2" (arXiv:2307.08691), algorithms 1 and 2.
#pragma once

#include <tinygpt/gpu/attention_tile.cuh>

namespace tinygpt::gpu {

inline constexpr int flash_warps = 4, flash_threads = flash_warps * warp_size;

// ---- Forward

/// How the forward pass is cut: as coarse as registers allow, because two row tiles of a warp halve what it reads from
/// shared memory, and fewer, larger tiles of keys mean fewer rounds of the softmax's bookkeeping.
template <int D, Dropping dropping> struct FlashForward {
  static constexpr int width = padded_head<D>;
  static constexpr bool drops = dropping == Dropping::yes;
  static constexpr int row_tiles = width <= (drops ? 64 : 80) ? 2 : 1;  ///< of 16 queries in each warp
  static constexpr int queries = 16 * row_tiles * flash_warps;
  static constexpr int keys = row_tiles == 2 ? (width <= 64 && !drops ? 64 : 32) : (width <= 96 ? 64 : 32);

  struct alignas(16) Shared {
    bfloat16 k[2][keys * width];
    bfloat16 v[2][keys * width];
  };
};

/// y and lse (null where nobody wants it) of queries at positions first_position(b) + i, over keys at [0, that
/// position].
template <int D, Dropping dropping>
__global__ void __launch_bounds__(flash_threads, 2)
    flash_forward(HeadArray<bfloat16> y, float* lse, HeadArray<const bfloat16> q, HeadArray<const bfloat16> k,
                  HeadArray<const bfloat16> v, AttentionShape shape, FirstPosition first_position, Dropout dropout) {
  using Cut = FlashForward<D, dropping>;
  constexpr int width = Cut::width, row_tiles = Cut::row_tiles, keys = Cut::keys;
  auto& shared = shared_memory<typename Cut::Shared>();

  const BlockPlace place(gridDim.x - 1 - blockIdx.x, shape.sequences, shape.query_heads);  // the longest work first
  const int tile = place.tile, b = place.sequence, h = place.head, kv = h / shape.group();
  const int g = lane_id() / 4, t = lane_id() % 4;
  const int first = first_position(b);
  const int row0 = tile * Cut::queries + warp_id() * 16 * row_tiles;  // of this warp
  const int seen = first + min(shape.queries, (tile + 1) * Cut::queries);
  const auto k_head = k.template head<D>(b, kv, seen), v_head = v.template head<D>(b, kv, seen);
  const WeightsMask mask(dropout, static_cast<std::int64_t>(b) * shape.query_heads + h);
  const float scale2 = shape.scale * log2_of_e;

  load_tile<D, keys, flash_threads>(shared.k[0], k_head, 0);
  load_tile<D, keys, flash_threads>(shared.v[0], v_head, 0);
  cp_async_commit();
  HeldRows<D, row_tiles> queries;
  queries.load(q.template head<D>(b, h, shape.queries), row0);

  float sums[row_tiles][width / 8][4] = {};           // of weights and values, then y
  float top[row_tiles][2], total[row_tiles][2] = {};  // total: this lane's part of it
#pragma unroll
  for (int m = 0; m < row_tiles; ++m) top[m][0] = top[m][1] = -INFINITY;

  const int tiles = (seen + keys - 1) / keys;
#pragma unroll 1
  for (int j = 0; j < tiles; ++j) {
    cp_async_wait<0>();
    __syncthreads();  // tile j is there for all, and tile j - 1 has been read by all
    if (j + 1 < tiles) {
      load_tile<D, keys, flash_threads>(shared.k[(j + 1) % 2], k_head, (j + 1) * keys);
      load_tile<D, keys, flash_threads>(shared.v[(j + 1) % 2], v_head, (j + 1) * keys);
      cp_async_commit();
    }
    const int key0 = j * keys;
    if (key0 > first + row0 + 16 * row_tiles - 1) continue;  // all of it lies after this warp's queries
    const bfloat16 *k_tile = shared.k[j % 2], *v_tile = shared.v[j % 2];

    [[maybe_unused]] QueryRowsMask kept[row_tiles][keys / 16];  // drawn while the scores do not fill the registers yet
    if constexpr (dropping == Dropping::yes) {
#pragma unroll
      for (int m = 0; m < row_tiles; ++m) {
#pragma unroll
        for (int c = 0; c < keys / 16; ++c) kept[m][c].draw(mask, first + row0 + 16 * m, key0 + 16 * c);
      }
    }

    float s[row_tiles][keys / 8][4] = {};
#pragma unroll
    for (int c = 0; c < width / 16; ++c) {
#pragma unroll
      for (int n = 0; n < keys / 16; ++n) {
        std::uint32_t fragments[4];
        load_rows_as_columns<width>(fragments, k_tile, 16 * n, c);
#pragma unroll
        for (int m = 0; m < row_tiles; ++m) multiply_pair(s[m][2 * n], s[m][2 * n + 1], queries.a[m][c], fragments);
      }
    }
    if (key0 + keys - 1 > first + row0) {
#pragma unroll
      for (int m = 0; m < row_tiles; ++m) {
#pragma unroll
        for (int n = 0; n < keys / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            if (key0 + 8 * n + 2 * t + i % 2 > first + row0 + 16 * m + 8 * (i / 2) + g) s[m][n][i] = -INFINITY;
          }
        }
      }
    }

    // Key 0 is seen by every query, so `highest` is finite from the first tile on.
    float shrink[row_tiles][2];
    bool rises = false;
#pragma unroll
    for (int m = 0; m < row_tiles; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float highest = top[m][r];
#pragma unroll
        for (int n = 0; n < keys / 8; ++n) highest = fmaxf(highest, fmaxf(s[m][n][2 * r], s[m][n][2 * r + 1]));
        highest = warp_max<4>(highest);
        rises |= highest > top[m][r];
        shrink[m][r] = approximate_exp2((top[m][r] - highest) * scale2);
        top[m][r] = highest;
        const float offset = highest * scale2;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < keys / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& p = s[m][n][2 * r + e];
            p = approximate_exp2(fmaf(p, scale2, -offset));
            sum += p;
          }
        }
        total[m][r] = fmaf(total[m][r], shrink[m][r], sum);
      }
    }
    if (__any_sync(full_warp, rises)) {  // else every factor is 1: most tiles but the first few
#pragma unroll
      for (int m = 0; m < row_tiles; ++m) {
#pragma unroll
        for (int n = 0; n < width / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sums[m][n][i] *= shrink[m][i / 2];
        }
      }
    }

#pragma unroll
    for (int c = 0; c < keys / 16; ++c) {
      std::uint32_t weights[row_tiles][4];
#pragma unroll
      for (int m = 0; m < row_tiles; ++m) {
        if constexpr (dropping == Dropping::yes) {
#pragma unroll
          for (int n = 0; n < 2; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              if (!kept[m][c].kept(n, i / 2, i % 2)) s[m][2 * c + n][i] = 0;
            }
          }
        }
        round_to_fragment(weights[m], s[m][2 * c], s[m][2 * c + 1]);
      }
#pragma unroll
      for (int n = 0; n < width / 16; ++n) {
        std::uint32_t fragments[4];
        load_columns<width>(fragments, v_tile, 16 * c, n);
#pragma unroll
        for (int m = 0; m < row_tiles; ++m) {
          multiply_pair(sums[m][2 * n], sums[m][2 * n + 1], weights[m], fragments);
        }
      }
    }
  }

  const auto y_head = y.template head<D>(b, h, shape.queries);
  const float kept_scale = dropping == Dropping::yes ? dropout.scale() : 1.0f;
#pragma unroll
  for (int m = 0; m < row_tiles; ++m) {
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float sum = warp_sum<4>(total[m][r]);
      const int i = row0 + 16 * m + 8 * r + g;
      factor[r] = __fdividef(kept_scale, sum);  // exact to 2 units in the last place of a float
      if (lse != nullptr && t == 0 && i < shape.queries) {
        lse[(static_cast<std::int64_t>(b) * shape.queries + i) * shape.query_heads + h] =
            top[m][r] * shape.scale + logf(sum);
      }
    }
    store_rows<D>(y_head, row0 + 16 * m, sums[m], factor);
  }
}

// ---- Backward

/// How the backward pass is cut.
template <int D, Resident resident, Dropping dropping> struct FlashBackward {
  static constexpr int width = padded_head<D>;
  static constexpr int row_tiles = resident == Resident::queries && width <= 64 ? 2 : 1;  ///< of 16 in each warp
  static constexpr int rows = 16 * row_tiles * flash_warps;                               ///< resident ones
  static constexpr int columns = width <= 80 ? 64 : 32;                                   ///< streamed ones of one tile
  /// Blocks that share a multiprocessor: what the compiler fits the registers to.
  static constexpr int blocks = resident == Resident::keys && width <= (dropping == Dropping::yes ? 48 : 64) ? 3 : 2;
  // Large heads: what of the resident rows waits in shared memory instead of in registers.
  static constexpr bool parks_z = resident == Resident::keys && width > 80;
  static constexpr bool parks_x = parks_z && width > 96 && dropping == Dropping::yes;
  static_assert(statistics_tile % columns == 0);

  struct alignas(16) Shared {
    bfloat16 x[2][columns * width];  ///< k, or q
    bfloat16 z[2][columns * width];  ///< v, or d_y
    QueryStatistics statistics[2][resident == Resident::keys ? columns : 2];
    ParkedRows<D, flash_threads, parks_x> x_parked;
    ParkedRows<D, flash_threads, parks_z> z_parked;
  };
};

/// With queries resident d_x = d_q; with keys resident d_x = d_k and d_z = d_v, summed over the query heads of the
/// group.
///
///   p_ij = exp(s_ij - lse_i),  ds_ij = p_ij (m_ij d_y_i . v_j - delta_i)
///   d_q_i = scale sum_j ds_ij k_j,   d_k_j = scale sum_i ds_ij q_i,   d_v_j = sum_i m_ij p_ij d_y_i
template <int D, Resident resident, Dropping dropping>
__global__ void __launch_bounds__(flash_threads, (FlashBackward<D, resident, dropping>::blocks))
    flash_backward(HeadArray<bfloat16> d_x, HeadArray<bfloat16> d_z, HeadArray<const bfloat16> d_y,
                   HeadArray<const bfloat16> q, HeadArray<const bfloat16> k, HeadArray<const bfloat16> v,
                   const QueryStatistics* statistics, AttentionShape shape, Dropout dropout) {
  using Cut = FlashBackward<D, resident, dropping>;
  constexpr int width = Cut::width, row_tiles = Cut::row_tiles, columns = Cut::columns;
  constexpr bool keys_stay = resident == Resident::keys;
  auto& shared = shared_memory<typename Cut::Shared>();

  const int time = shape.queries, group = shape.group();
  const BlockPlace place(keys_stay ? blockIdx.x : gridDim.x - 1 - blockIdx.x, shape.sequences,
                         keys_stay ? shape.kv_heads : shape.query_heads);  // the longest work first
  const int tile = place.tile, b = place.sequence, h = place.head, kv = keys_stay ? h : h / group;
  const int g = lane_id() / 4, t = lane_id() % 4;
  const int row0 = tile * Cut::rows + warp_id() * 16 * row_tiles;  // of this warp
  const float scale2 = shape.scale * log2_of_e, kept_scale = dropping == Dropping::yes ? dropout.scale() : 1.0f;

  // Tiles of one head that meet this block: keys up to the diagonal, or queries from it on, of each head of the group.
  const int begin = keys_stay ? tile * Cut::rows / columns : 0;
  const int end = keys_stay ? time : min(time, (tile + 1) * Cut::rows);
  const int tiles = (end + columns - 1) / columns - begin;
  const int steps = keys_stay ? tiles * group : tiles;
  const auto statistics_of = [&](int head) {
    return statistics + (static_cast<std::int64_t>(b) * shape.query_heads + head) * statistics_rows(time);
  };
  const auto load = [&](int stage, int first, int head) {
    load_tile<D, columns, flash_threads>(
        shared.x[stage], keys_stay ? q.template head<D>(b, head, time) : k.template head<D>(b, kv, time), first);
    load_tile<D, columns, flash_threads>(
        shared.z[stage], keys_stay ? d_y.template head<D>(b, head, time) : v.template head<D>(b, kv, time), first);
    if constexpr (keys_stay) {
      const int i = 2 * static_cast<int>(threadIdx.x);
      if (i < columns) cp_async_16(&shared.statistics[stage][i], statistics_of(head) + first + i);
    }
    cp_async_commit();
  };

  int column_begin = begin * columns, head = keys_stay ? kv * group : h;  // of the tiles of a step
  load(0, column_begin, head);
  HeldRows<D, row_tiles> x, z;
  x.load(keys_stay ? k.template head<D>(b, kv, time) : q.template head<D>(b, h, time), row0);
  z.load(keys_stay ? v.template head<D>(b, kv, time) : d_y.template head<D>(b, h, time), row0);
  shared.x_parked.park(x);
  shared.z_parked.park(z);
  [[maybe_unused]] QueryStatistics own[row_tiles][2];
  if constexpr (!keys_stay) {
#pragma unroll
    for (int m = 0; m < row_tiles; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int i = row0 + 16 * m + 8 * r + g;
        own[m][r] = i < time ? statistics_of(h)[i] : QueryStatistics{INFINITY, 0};
      }
    }
  }
  float x_sums[row_tiles][width / 8][4] = {};
  float z_sums[keys_stay ? row_tiles : 1][width / 8][4] = {};

#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<0>();
    __syncthreads();  // this step's tiles are there for all, and those of the step before have been read by all
    const int first_column = column_begin;
    const WeightsMask mask(dropout, static_cast<std::int64_t>(b) * shape.query_heads + head);
    column_begin += columns;
    if (keys_stay && column_begin >= end) column_begin = begin * columns, ++head;
    if (step + 1 < steps) load((step + 1) % 2, column_begin, head);
    const bfloat16 *x_tile = shared.x[step % 2], *z_tile = shared.z[step % 2];

#pragma unroll 1
    for (int c = 0; c < columns; c += 16) {
      const int column0 = first_column + c;
      if (keys_stay ? column0 + 15 < row0 : column0 > row0 + 16 * row_tiles - 1) continue;  // nothing of it is seen

      float s[row_tiles][2][4] = {}, d_p[row_tiles][2][4] = {};
#pragma unroll(Cut::parks_x ? 2 : width / 16)  // whole, it would fetch all that is parked at once
      for (int n = 0; n < width / 16; ++n) {
        std::uint32_t fragments[4];
        load_rows_as_columns<width>(fragments, x_tile, c, n);
#pragma unroll
        for (int m = 0; m < row_tiles; ++m) {
          multiply_pair(s[m][0], s[m][1], shared.x_parked.fragment(x, m, n).element, fragments);
        }
        load_rows_as_columns<width>(fragments, z_tile, c, n);
#pragma unroll
        for (int m = 0; m < row_tiles; ++m) {
          multiply_pair(d_p[m][0], d_p[m][1], shared.z_parked.fragment(z, m, n).element, fragments);
        }
      }

      const bool diagonal = keys_stay ? column0 < row0 + 16 * row_tiles - 1 : column0 + 15 > row0;
      std::uint32_t d_s[row_tiles][4], weights[keys_stay ? row_tiles : 1][4];
#pragma unroll
      for (int m = 0; m < row_tiles; ++m) {
        const int row = row0 + 16 * m;
        [[maybe_unused]] std::conditional_t<keys_stay, KeyRowsMask, QueryRowsMask> kept;
        if constexpr (dropping == Dropping::yes) kept.draw(mask, keys_stay ? column0 : row, keys_stay ? row : column0);
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          Vec<float, 4> of_columns;  // lse2 and delta of two queries
          if constexpr (keys_stay) {
            of_columns = load_vec<4>(&shared.statistics[step % 2][c + 8 * n + 2 * t].lse2);
          }
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const int r = i / 2, e = i % 2;
            const float lse2 = keys_stay ? of_columns[2 * e] : own[m][r].lse2;
            const float delta = keys_stay ? of_columns[2 * e + 1] : own[m][r].delta;
            const int ahead = (column0 + 8 * n + 2 * t + e) - (row + 8 * r + g);
            const bool seen = !diagonal || (keys_stay ? ahead >= 0 : ahead <= 0);
            const float p = seen ? approximate_exp2(fmaf(s[m][n][i], scale2, -lse2)) : 0.0f;
            float d = d_p[m][n][i], kept_p = p;
            if constexpr (dropping == Dropping::yes) {
              const bool is_kept = kept.kept(n, r, e);
              d = is_kept ? d * kept_scale : 0.0f;
              kept_p = is_kept ? p : 0.0f;
            }
            s[m][n][i] = kept_p;
            d_p[m][n][i] = p * (d - delta);
          }
        }
        round_to_fragment(d_s[m], d_p[m][0], d_p[m][1]);
        if constexpr (keys_stay) round_to_fragment(weights[m], s[m][0], s[m][1]);
      }

#pragma unroll
      for (int n = 0; n < width / 16; ++n) {
        std::uint32_t fragments[4];
        load_columns<width>(fragments, x_tile, c, n);
#pragma unroll
        for (int m = 0; m < row_tiles; ++m) {
          multiply_pair(x_sums[m][2 * n], x_sums[m][2 * n + 1], d_s[m], fragments);
        }
        if constexpr (keys_stay) {
          load_columns<width>(fragments, z_tile, c, n);
#pragma unroll
          for (int m = 0; m < row_tiles; ++m) {
            multiply_pair(z_sums[m][2 * n], z_sums[m][2 * n + 1], weights[m], fragments);
          }
        }
      }
    }
  }

#pragma unroll
  for (int m = 0; m < row_tiles; ++m) {
    store_rows<D>(d_x.template head<D>(b, h, time), row0 + 16 * m, x_sums[m], {shape.scale, shape.scale});
    if constexpr (keys_stay) {
      store_rows<D>(d_z.template head<D>(b, h, time), row0 + 16 * m, z_sums[m], {kept_scale, kept_scale});
    }
  }
}

}  // namespace tinygpt::gpu

// Causal grouped-query attention in float32, without tensor cores: for float, any GPU, and heads that are too large for
// flash_attention.cuh. Twin of cpu/flash_attention.hpp.
//
// The same cut as in flash_attention.cuh, with plain tiles of floats in shared memory: 256 threads, thread (y, x) of 16
// x 16 has rows y + 16 r and columns x + 16 c of every product. Rows are as far apart as lets 16 bytes from 8 of them
// be read at once. What dropout keeps is drawn into shared memory while tiles are loaded.
#pragma once

#include <tinygpt/gpu/attention_tile.cuh>

namespace tinygpt::gpu {

inline constexpr int plain_threads = 256, plain_side = 16;

/// Rows of one head as floats; 4 numbers lie between rows.
template <int D, int Rows> struct alignas(16) FloatTile {
  static constexpr int width = padded_head<D>, stride = width + 4;
  float x[Rows * stride];

  __device__ __forceinline__ const float* row(int i) const { return x + i * stride; }

  /// Rows [first, first + Rows) of a head, zeros where it has none, by all threads.
  template <class E> __device__ __forceinline__ void load(const HeadRows<const E>& head, int first) {
    constexpr int vec = head_vec<E, D>, steps = width / vec;
    for (int i = static_cast<int>(threadIdx.x); i < Rows * steps; i += plain_threads) {
      const int row = i / steps, column = i % steps * vec;
      Vec<float, vec> values = {};
      if (first + row < head.count && column < D) values = to_float(load_vec<vec>(head.row(first + row) + column));
      store_vec(x + row * stride + column, values);
    }
  }
};

/// A tile of weights, or of their derivatives.
template <int Rows, int Columns> struct alignas(16) FloatSquare {
  static constexpr int stride = Columns + 4;
  float x[Rows * stride];
};

/// Sizes of tiles: the largest of a few whose shared memory suits every GPU.
struct PlainCut {
  int rows, columns;
};
template <int D> constexpr PlainCut plain_forward_cut() {
  return padded_head<D> <= 96 ? PlainCut{64, 32} : padded_head<D> <= 128 ? PlainCut{32, 32} : PlainCut{16, 16};
}
template <int D> constexpr PlainCut plain_backward_cut() {
  return padded_head<D> <= 64 ? PlainCut{64, 32} : padded_head<D> <= 96 ? PlainCut{32, 32} : PlainCut{16, 16};
}

/// sums[r][c] += dot(row y + 16 r of a, row x + 16 c of b).
template <int R, int C, class TileA, class TileB>
__device__ __forceinline__ void multiply_rows(float (&sums)[R][C], const TileA& a, const TileB& b) {
  const int x = static_cast<int>(threadIdx.x) % plain_side, y = static_cast<int>(threadIdx.x) / plain_side;
#pragma unroll 4
  for (int d = 0; d < TileA::width; d += 4) {
    Vec<float, 4> left[R], right[C];
#pragma unroll
    for (int r = 0; r < R; ++r) left[r] = load_vec<4>(a.row(y + plain_side * r) + d);
#pragma unroll
    for (int c = 0; c < C; ++c) right[c] = load_vec<4>(b.row(x + plain_side * c) + d);
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int c = 0; c < C; ++c) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[r][c] = fmaf(left[r][e], right[c][e], sums[r][c]);
      }
    }
  }
}

/// sums[r][c] += sum_k weights(y + 16 r, k) b(k, x + 16 c), over all rows k of b.
template <int R, int C, int Rows, int Depth, class Tile>
__device__ __forceinline__ void multiply_columns(float (&sums)[R][C], const FloatSquare<Rows, Depth>& weights,
                                                 const Tile& b) {
  const int x = static_cast<int>(threadIdx.x) % plain_side, y = static_cast<int>(threadIdx.x) / plain_side;
#pragma unroll 2
  for (int k = 0; k < Depth; k += 4) {
    Vec<float, 4> left[R];
#pragma unroll
    for (int r = 0; r < R; ++r) left[r] = load_vec<4>(weights.x + (y + plain_side * r) * weights.stride + k);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
#pragma unroll
      for (int c = 0; c < C; ++c) {
        const float right = b.row(k + e)[x + plain_side * c];
#pragma unroll
        for (int r = 0; r < R; ++r) sums[r][c] = fmaf(left[r][e], right, sums[r][c]);
      }
    }
  }
}

// ---- Forward

template <int D> struct PlainForwardShared {
  static constexpr PlainCut cut = plain_forward_cut<D>();
  FloatTile<D, cut.rows> q;
  FloatTile<D, cut.columns> k, v;
  FloatSquare<cut.rows, cut.columns> weights;
  std::uint8_t kept[cut.rows * cut.columns / 8];
};

/// As flash_forward.
template <class E, int D, Dropping dropping>
__global__ void __launch_bounds__(plain_threads, 1)
    plain_forward(HeadArray<E> y, float* lse, HeadArray<const E> q, HeadArray<const E> k, HeadArray<const E> v,
                  AttentionShape shape, FirstPosition first_position, Dropout dropout) {
  constexpr int queries = plain_forward_cut<D>().rows, keys = plain_forward_cut<D>().columns;
  constexpr int R = queries / plain_side, C = keys / plain_side, columns = padded_head<D> / plain_side;
  auto& shared = shared_memory<PlainForwardShared<D>>();

  const BlockPlace place(gridDim.x - 1 - blockIdx.x, shape.sequences, shape.query_heads);  // the longest work first
  const int tile = place.tile, b = place.sequence, h = place.head, kv = h / shape.group();
  const int tx = static_cast<int>(threadIdx.x) % plain_side, ty = static_cast<int>(threadIdx.x) / plain_side;
  const int first = first_position(b), row0 = tile * queries;
  const int seen = first + min(shape.queries, row0 + queries);
  const auto k_head = k.template head<D>(b, kv, seen), v_head = v.template head<D>(b, kv, seen);
  const WeightsMask mask(dropout, static_cast<std::int64_t>(b) * shape.query_heads + h);

  shared.q.load(q.template head<D>(b, h, shape.queries), row0);
  float sums[R][columns] = {}, top[R], total[R] = {};
#pragma unroll
  for (int r = 0; r < R; ++r) top[r] = -INFINITY;

  for (int key0 = 0; key0 < seen; key0 += keys) {
    __syncthreads();  // the tiles before have been read by all
    shared.k.load(k_head, key0);
    shared.v.load(v_head, key0);
    if constexpr (dropping == Dropping::yes) {
      for (int i = static_cast<int>(threadIdx.x); i < queries * keys / 8; i += plain_threads) {
        shared.kept[i] = static_cast<std::uint8_t>(mask.byte(first + row0 + i / (keys / 8), key0 / 8 + i % (keys / 8)));
      }
    }
    __syncthreads();

    float s[R][C] = {};
    multiply_rows(s, shared.q, shared.k);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int i = ty + plain_side * r;
      float highest = top[r];
#pragma unroll
      for (int c = 0; c < C; ++c) {
        if (key0 + tx + plain_side * c > first + row0 + i) s[r][c] = -INFINITY;
        highest = fmaxf(highest, s[r][c]);
      }
      highest = warp_max<plain_side>(highest);  // finite: key 0, of the first tile, is seen by every query
      const float shrink = exp2f((top[r] - highest) * shape.scale * log2_of_e);
      top[r] = highest;
      total[r] *= shrink;
#pragma unroll
      for (int c = 0; c < C; ++c) {
        const int j = tx + plain_side * c;
        float p = exp2f((s[r][c] - highest) * shape.scale * log2_of_e);
        total[r] += p;
        if constexpr (dropping == Dropping::yes) {
          if ((shared.kept[i * (keys / 8) + j / 8] >> (j % 8) & 1) == 0) p = 0;
        }
        shared.weights.x[i * shared.weights.stride + j] = p;
      }
#pragma unroll
      for (int c = 0; c < columns; ++c) sums[r][c] *= shrink;
    }
    __syncwarp();  // a row of weights is written and read by one half of a warp
    multiply_columns(sums, shared.weights, shared.v);
  }

  const auto y_head = y.template head<D>(b, h, shape.queries);
  const float kept_scale = dropping == Dropping::yes ? dropout.scale() : 1.0f;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int i = row0 + ty + plain_side * r;
    const float sum = warp_sum<plain_side>(total[r]);
    if (i >= shape.queries) continue;
    if (lse != nullptr && tx == 0) {
      lse[(static_cast<std::int64_t>(b) * shape.queries + i) * shape.query_heads + h] =
          top[r] * shape.scale + logf(sum);
    }
#pragma unroll
    for (int c = 0; c < columns; ++c) {
      const int d = tx + plain_side * c;
      if (d < D) y_head.row(i)[d] = from_float<E>(sums[r][c] * (kept_scale / sum));
    }
  }
}

// ---- Backward

template <int D> struct PlainBackwardShared {
  static constexpr PlainCut cut = plain_backward_cut<D>();
  FloatTile<D, cut.rows> x, z;                 // of this block: k and v, or q and d_y
  FloatTile<D, cut.columns> x_tile, z_tile;    // streamed: q and d_y, or k and v
  FloatSquare<cut.rows, cut.columns> weights;  // first the weights, then their derivatives
  QueryStatistics statistics[cut.rows > cut.columns ? cut.rows : cut.columns];
  std::uint8_t kept[cut.rows * cut.columns / 8];  // [query][key / 8]
};

/// As flash_backward.
template <class E, int D, Resident resident, Dropping dropping>
__global__ void __launch_bounds__(plain_threads, 1)
    plain_backward(HeadArray<E> d_x, HeadArray<E> d_z, HeadArray<const E> d_y, HeadArray<const E> q,
                   HeadArray<const E> k, HeadArray<const E> v, const QueryStatistics* statistics, AttentionShape shape,
                   Dropout dropout) {
  constexpr int rows = plain_backward_cut<D>().rows, columns = plain_backward_cut<D>().columns;
  constexpr int R = rows / plain_side, C = columns / plain_side, numbers = padded_head<D> / plain_side;
  constexpr bool keys_stay = resident == Resident::keys;
  constexpr int queries = keys_stay ? columns : rows, keys = keys_stay ? rows : columns;  // of one tile of weights
  auto& shared = shared_memory<PlainBackwardShared<D>>();

  const int time = shape.queries, group = shape.group();
  const BlockPlace place(keys_stay ? blockIdx.x : gridDim.x - 1 - blockIdx.x, shape.sequences,
                         keys_stay ? shape.kv_heads : shape.query_heads);  // the longest work first
  const int tile = place.tile, b = place.sequence, h = place.head, kv = keys_stay ? h : h / group;
  const int tx = static_cast<int>(threadIdx.x) % plain_side, ty = static_cast<int>(threadIdx.x) / plain_side;
  const int row0 = tile * rows;
  const float kept_scale = dropping == Dropping::yes ? dropout.scale() : 1.0f;
  const auto k_head = k.template head<D>(b, kv, time), v_head = v.template head<D>(b, kv, time);

  if constexpr (keys_stay) {
    shared.x.load(k_head, row0);
    shared.z.load(v_head, row0);
  } else {
    shared.x.load(q.template head<D>(b, h, time), row0);
    shared.z.load(d_y.template head<D>(b, h, time), row0);
  }
  float x_sums[R][numbers] = {};
  [[maybe_unused]] float z_sums[keys_stay ? R : 1][numbers] = {};

  const int begin = keys_stay ? row0 / columns * columns : 0, end = keys_stay ? time : min(time, row0 + rows);
  const int first_head = keys_stay ? kv * group : h, last_head = keys_stay ? first_head + group - 1 : h;
  for (int head = first_head; head <= last_head; ++head) {
    const std::int64_t head_row = static_cast<std::int64_t>(b) * shape.query_heads + head;
    const QueryStatistics* const own = statistics + head_row * statistics_rows(time);
    const WeightsMask mask(dropout, head_row);
    for (int column0 = begin; column0 < end; column0 += columns) {
      const int query0 = keys_stay ? column0 : row0, key0 = keys_stay ? row0 : column0;
      __syncthreads();  // the tiles before have been read by all
      if constexpr (keys_stay) {
        shared.x_tile.load(q.template head<D>(b, head, time), column0);
        shared.z_tile.load(d_y.template head<D>(b, head, time), column0);
      } else {
        shared.x_tile.load(k_head, column0);
        shared.z_tile.load(v_head, column0);
      }
      if (static_cast<int>(threadIdx.x) < queries) {
        shared.statistics[threadIdx.x] = own[query0 + static_cast<int>(threadIdx.x)];
      }
      if constexpr (dropping == Dropping::yes) {
        for (int i = static_cast<int>(threadIdx.x); i < queries * keys / 8; i += plain_threads) {
          shared.kept[i] = static_cast<std::uint8_t>(mask.byte(query0 + i / (keys / 8), key0 / 8 + i % (keys / 8)));
        }
      }
      __syncthreads();

      float p[R][C] = {}, d_s[R][C] = {};
      multiply_rows(p, shared.x, shared.x_tile);
      multiply_rows(d_s, shared.z, shared.z_tile);
#pragma unroll
      for (int r = 0; r < R; ++r) {
#pragma unroll
        for (int c = 0; c < C; ++c) {
          const int row = ty + plain_side * r, column = tx + plain_side * c;
          const int i = keys_stay ? column : row, j = keys_stay ? row : column;
          const QueryStatistics of_query = shared.statistics[i];
          float weight = exp2f(fmaf(p[r][c], shape.scale * log2_of_e, -of_query.lse2));
          if (key0 + j > query0 + i) weight = 0;
          const bool is_kept = dropping == Dropping::no || (shared.kept[i * (keys / 8) + j / 8] >> (j % 8) & 1) != 0;
          p[r][c] = is_kept ? weight : 0.0f;
          d_s[r][c] = weight * ((is_kept ? d_s[r][c] * kept_scale : 0.0f) - of_query.delta);
        }
      }
      const auto hand_over = [&](const float(&x)[R][C]) {  // to the other lanes of the same half warp
        __syncwarp();
#pragma unroll
        for (int r = 0; r < R; ++r) {
#pragma unroll
          for (int c = 0; c < C; ++c) {
            shared.weights.x[(ty + plain_side * r) * shared.weights.stride + tx + plain_side * c] = x[r][c];
          }
        }
        __syncwarp();
      };
      if constexpr (keys_stay) {
        hand_over(p);
        multiply_columns(z_sums, shared.weights, shared.z_tile);
      }
      hand_over(d_s);
      multiply_columns(x_sums, shared.weights, shared.x_tile);
    }
  }

  const auto d_x_head = d_x.template head<D>(b, h, time);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int i = row0 + ty + plain_side * r;
    if (i >= time) continue;
#pragma unroll
    for (int c = 0; c < numbers; ++c) {
      const int d = tx + plain_side * c;
      if (d >= D) continue;
      d_x_head.row(i)[d] = from_float<E>(x_sums[r][c] * shape.scale);
      if constexpr (keys_stay) d_z.template head<D>(b, h, time).row(i)[d] = from_float<E>(z_sums[r][c] * kept_scale);
    }
  }
}

}  // namespace tinygpt::gpu

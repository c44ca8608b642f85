// What the attention kernels share: where heads lie, which weights dropout keeps, and tiles for the tensor cores.
//
// A tile is rows of one head in bfloat16 in shared memory, each row padded with zeros to a multiple of 16 numbers. The
// 16-byte chunks of a row are permuted by its number, so that the eight rows which ldmatrix reads at once lie in
// different banks. What a warp multiplies again and again (its own 16 or 32 rows) it holds in registers instead.
#pragma once

#include <cmath>

#include <tinygpt/gpu/device.cuh>
#include <tinygpt/ops/dropout.hpp>

namespace tinygpt::gpu {

/// Does a kernel drop attention weights? One that does not has no code for it.
enum class Dropping { no, yes };

/// Which rows a block of a backward kernel keeps, while the others stream past it.
enum class Resident { queries, keys };

/// The sizes of one attention.
struct AttentionShape {
  int sequences, queries;  ///< queries of each sequence
  int query_heads, kv_heads;
  float scale;  ///< of the scores

  __device__ int group() const { return query_heads / kv_heads; }
};

/// What a block works on: the heads of a tile side by side, then the next tile.
struct BlockPlace {
  int tile, sequence, head;

  __device__ __forceinline__ BlockPlace(unsigned number, int sequences, int heads) {
    const auto per_sequence = static_cast<unsigned>(heads), per_tile = static_cast<unsigned>(sequences) * per_sequence;
    tile = static_cast<int>(number / per_tile);
    sequence = static_cast<int>(number % per_tile / per_sequence);
    head = static_cast<int>(number % per_sequence);
  }
};

/// One head of one sequence: `count` rows of numbers, the first at `data`, `stride` elements apart.
template <class E> struct HeadRows {
  E* data;
  int stride, count;

  __device__ __forceinline__ E* row(int i) const { return data + std::int64_t{i} * stride; }
};

/// The same heads of all sequences, in the memory of a joined tensor. The distances are in elements.
template <class E> struct HeadArray {
  E* data;                ///< of the first head of the first sequence
  std::int64_t sequence;  ///< from one sequence to the next
  int token;              ///< from one position to the next

  template <int D> __device__ HeadRows<E> head(int b, int h, int count) const {
    return {data + b * sequence + std::int64_t{h} * D, token, count};
  }
};

/// A head's numbers with the zeros that make it a multiple of 16.
template <int D> inline constexpr int padded_head = (D + 15) / 16 * 16;

inline constexpr float log2_of_e = 1.44269504088896341f;

/// Bit e: is element e of a group of 8 kept?
__device__ __forceinline__ std::uint32_t keep_byte(const Dropout& dropout, std::int64_t group) {
  const auto words = dropout.numbers(group);
  std::uint32_t kept = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    kept |= static_cast<std::uint32_t>((words[k] & 0xFFFFu) >= dropout.threshold) << (2 * k);
    kept |= static_cast<std::uint32_t>((words[k] >> 16) >= dropout.threshold) << (2 * k + 1);
  }
  return kept;
}

/// The groups of a mask of attention weights: group(query, key) of one head. Made once per thread: it reads the step.
class WeightsMask {
 public:
  __device__ WeightsMask(const Dropout& dropout, std::int64_t head_row)
      : dropout_(dropout), first_row_(head_row * dropout.ctx), groups_(Dropout::groups(dropout.ctx)) {
    dropout_.step = dropout.step();
  }

  /// Bit e: is the weight of key 8 * group + e kept?
  __device__ __forceinline__ std::uint32_t byte(int query, int group) const {
    return keep_byte(dropout_, (first_row_ + query) * groups_ + group);
  }

 private:
  Dropout dropout_;
  std::int64_t first_row_, groups_;
};

// ---- What the backward pass wants to know of each query, made once for all its kernels

/// A query that is none has lse2 = inf, so that all its weights are 0.
struct alignas(8) QueryStatistics {
  float lse2;   ///< its lse, to base 2
  float delta;  ///< dot(d_y, y): what softmax's derivative subtracts from the derivative of each weight
};

/// Queries of a head are laid out in whole tiles.
inline constexpr int statistics_tile = 64;
TINYGPT_HD constexpr std::int64_t statistics_rows(int queries) {
  return (queries + statistics_tile - 1) / statistics_tile * std::int64_t{statistics_tile};
}

/// Elements of a head that one access takes: as many as 16 bytes hold, if heads are whole multiples of them.
template <class E, int D> inline constexpr int head_vec = (D & -D) < per_vec<E> ? (D & -D) : per_vec<E>;

/// The lanes that read one row of a head side by side.
template <class E, int D> constexpr int lanes_per_row() {
  int lanes = 1;
  while (2 * lanes <= D / head_vec<E, D> && lanes < warp_size) lanes *= 2;
  return lanes;
}

inline constexpr int statistics_threads = 256;

/// statistics (B, Hq, statistics_rows(T)) of y, d_y (B, T, Hq, D) and lse (B, T, Hq). Reads each once.
template <class E, int D>
__global__ void __launch_bounds__(statistics_threads)
    query_statistics(QueryStatistics* statistics, const E* d_y, const E* y, const float* lse, AttentionShape shape) {
  constexpr int vec = head_vec<E, D>, lanes = lanes_per_row<E, D>();
  const std::int64_t rows = statistics_rows(shape.queries);
  const std::int64_t number = global_thread() / lanes;  // heads within positions within sequences, as d_y lies
  const int h = static_cast<int>(number % shape.query_heads);
  const std::int64_t i = number / shape.query_heads % rows, b = number / shape.query_heads / rows;
  const bool exists = b < shape.sequences, valid = exists && i < shape.queries;
  const std::int64_t at = (b * shape.queries + i) * shape.query_heads + h;
  float delta = 0;
  if (valid) {
    for (int c = lane_id() % lanes * vec; c < D; c += lanes * vec) {
      const auto g = to_float(load_vec<vec>(d_y + at * D + c)), o = to_float(load_vec<vec>(y + at * D + c));
#pragma unroll
      for (int e = 0; e < vec; ++e) delta += g[e] * o[e];
    }
  }
  delta = warp_sum<lanes>(delta);
  if (exists && lane_id() % lanes == 0) {
    statistics[(b * shape.query_heads + h) * rows + i] = {valid ? lse[at] * log2_of_e : INFINITY, delta};
  }
}

// ---- A warp's mask of 16 x 16 weights: each lane draws one group of 8, then they exchange what they drew. Asked by
// kept(n, r, e) of element 2r + e of the fragment d of mma_m16n8k16 whose columns begin at 8n.

/// The rows are queries from `query` on, the columns keys from `key` on.
struct QueryRowsMask {
  std::uint32_t word;

  __device__ __forceinline__ void draw(const WeightsMask& mask, int query, int key) {
    const int lane = lane_id(), t = lane % 4;
    word = mask.byte(query + lane / 4 + t / 2 * 8, key / 8 + t % 2) << (8 * t);
    word |= __shfl_xor_sync(full_warp, word, 1);
    word |= __shfl_xor_sync(full_warp, word, 2);
    word >>= 2 * t;
  }
  __device__ __forceinline__ bool kept(int n, int r, int e) const { return (word & 1u << (16 * r + 8 * n + e)) != 0; }
};

/// The rows are keys from `key` on, the columns queries from `query` on.
struct KeyRowsMask {
  std::uint32_t word[2];

  __device__ __forceinline__ void draw(const WeightsMask& mask, int query, int key) {
    const int lane = lane_id(), g = lane / 4, t = lane % 4;
    const std::uint32_t drawn = mask.byte(query + lane % 16, key / 8 + lane / 16);
    std::uint32_t pair = drawn << (lane / 16 * 8);  // then bytes: (keys 0-7, keys 8-15) of one query, then of two
    pair |= __shfl_xor_sync(full_warp, pair, 16);
    pair <<= lane % 2 * 16;
    pair |= __shfl_xor_sync(full_warp, pair, 1);
#pragma unroll
    for (int n = 0; n < 2; ++n) word[n] = __shfl_sync(full_warp, pair, 8 * n + 2 * t) >> g;
  }
  __device__ __forceinline__ bool kept(int n, int r, int e) const { return (word[n] & 1u << (16 * e + 8 * r)) != 0; }
};

// ---- Tiles

/// What the number of a chunk in row `row` is xored with, in a tile of rows of `Width` numbers.
template <int Width> __device__ __forceinline__ unsigned chunk_permutation(unsigned row) {
  // All banks are 128 bytes, 8 chunks. Of eight rows, 8 / period neighbours begin in different ones of them.
  constexpr unsigned chunks = Width / 8, period = chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : 2;
  return row / (8 / period) % period;
}

/// Begins to copy rows [first, first + Rows) of a head into a tile, by all threads; zeros where the head has none.
template <int D, int Rows, int Threads>
__device__ __forceinline__ void load_tile(bfloat16* tile, const HeadRows<const bfloat16>& head, int first) {
  constexpr unsigned width = padded_head<D>, chunks = width / 8;
  if constexpr (D % 8 == 0) {
#pragma unroll
    for (unsigned i = threadIdx.x; i < Rows * chunks; i += Threads) {
      const unsigned row = i / chunks, chunk = i % chunks;
      const int from = first + static_cast<int>(row);
      // An address in the last row, rather than none: a choice of addresses would be a branch.
      cp_async_16(tile + row * width + (chunk ^ chunk_permutation<width>(row)) * 8,
                  head.row(min(from, head.count - 1)) + chunk * 8, from < head.count && chunk * 8 < D);
    }
  } else {
    for (unsigned i = threadIdx.x; i < Rows * width; i += Threads) {
      const unsigned row = i / width, column = i % width;
      const int from = first + static_cast<int>(row);
      const bool valid = from < head.count && column < D;
      tile[row * width + (column / 8 ^ chunk_permutation<width>(row)) * 8 + column % 8] =
          valid ? head.row(from)[column] : bfloat16::from_bits(0);
    }
  }
}

/// Two fragments b of mma_m16n8k16, in b[0..1] and b[2..3]: rows [row, row + 16) of the tile are the product's columns,
/// the tile's columns [16 k, 16 k + 16) are summed over. `row` is a multiple of 8, as below.
template <int Width>
__device__ __forceinline__ void load_rows_as_columns(std::uint32_t (&b)[4], const bfloat16* tile, int row, int k) {
  const unsigned lane = threadIdx.x % warp_size, lane_row = lane / 16 * 8 + lane % 8;
  const unsigned permuted = lane / 8 % 2 ^ chunk_permutation<Width>(lane_row);
  ldmatrix_x4(b, tile + lane_row * Width + (permuted ^ 2 * static_cast<unsigned>(k)) * 8 + row * Width);
}

/// The same of the transposed tile: rows [row, row + 16) are summed over, the tile's columns [16 n, 16 n + 16) are the
/// product's.
template <int Width>
__device__ __forceinline__ void load_columns(std::uint32_t (&b)[4], const bfloat16* tile, int row, int n) {
  const unsigned lane = threadIdx.x % warp_size, lane_row = lane % 16;
  const unsigned permuted = lane / 16 ^ chunk_permutation<Width>(lane_row);
  ldmatrix_x4_trans(b, tile + lane_row * Width + (permuted ^ 2 * static_cast<unsigned>(n)) * 8 + row * Width);
}

/// d += a times the two fragments of b.
__device__ __forceinline__ void multiply_pair(float (&d0)[4], float (&d1)[4], const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[4]) {
  mma_m16n8k16(d0, a, {b[0], b[1]});
  mma_m16n8k16(d1, a, {b[2], b[3]});
}

/// Two fragments d, 16 x 16 together, rounded: a fragment a.
__device__ __forceinline__ void round_to_fragment(std::uint32_t (&a)[4], const float (&left)[4],
                                                  const float (&right)[4]) {
  a[0] = pack_bf16x2(left[0], left[1]);
  a[1] = pack_bf16x2(left[2], left[3]);
  a[2] = pack_bf16x2(right[0], right[1]);
  a[3] = pack_bf16x2(right[2], right[3]);
}

/// Among four neighbouring lanes: word i of lane t becomes word t of lane i.
__device__ __forceinline__ void transpose_in_quad(std::uint32_t (&w)[4]) {
#pragma unroll
  for (int step = 1; step <= 2; step *= 2) {
    const bool upper = (lane_id() & step) != 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if ((i & step) != 0) continue;
      const std::uint32_t other = __shfl_xor_sync(full_warp, upper ? w[i] : w[i + step], step);
      w[i] = upper ? other : w[i];
      w[i + step] = upper ? w[i + step] : other;
    }
  }
}

/// Rows of a head in a warp's registers, as fragments a of mma_m16n8k16.
template <int D, int RowTiles> struct HeldRows {
  std::uint32_t a[RowTiles][padded_head<D> / 16][4];

  /// Rows [first, first + 16 RowTiles), straight from global memory: 16 bytes per lane, then an exchange within quads.
  __device__ __forceinline__ void load(const HeadRows<const bfloat16>& head, int first) {
    constexpr int chunks = padded_head<D> / 8;
    const int t = lane_id() % 4;
#pragma unroll
    for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int i = first + 16 * m + 8 * r + lane_id() / 4;
        const bool valid = i < head.count;
        const bfloat16* const row = head.row(min(i, head.count - 1));
#pragma unroll
        for (int c = 0; c < chunks; c += 4) {
          std::uint32_t w[4] = {};
          if constexpr (D % 8 == 0) {
            if (valid && (c + t) * 8 < D) {
              const auto loaded = *as_vector<const Vec<std::uint32_t, 4>>(row + (c + t) * 8);
#pragma unroll
              for (int n = 0; n < 4; ++n) w[n] = loaded[n];
            }
            transpose_in_quad(w);
          } else {
#pragma unroll
            for (int n = 0; n < 4; ++n) {
              const int column = (c + n) * 8 + 2 * t;
              if (valid && column < D) w[n] = row[column].bits;
              if (valid && column + 1 < D) w[n] |= static_cast<std::uint32_t>(row[column + 1].bits) << 16;
            }
          }
#pragma unroll
          for (int n = 0; n < 4; ++n) {
            if (c + n < chunks) a[m][(c + n) / 2][(c + n) % 2 * 2 + r] = w[n];
          }
        }
      }
    }
  }
};

/// Held rows of each thread, where they wait in shared memory; else nothing.
template <int D, int Threads, bool Parks> struct ParkedRows {
  static constexpr int fragments = padded_head<D> / 16;
  Vec<std::uint32_t, 4> own[Parks ? fragments : 1][Parks ? Threads : 1];

  template <int RowTiles> __device__ __forceinline__ void park(const HeldRows<D, RowTiles>& rows) {
    if constexpr (Parks) {
      static_assert(RowTiles == 1);
#pragma unroll
      for (int n = 0; n < fragments; ++n) own[n][threadIdx.x] = as_vec(rows.a[0][n]);
    }
  }
  template <int RowTiles>
  __device__ __forceinline__ Vec<std::uint32_t, 4> fragment(const HeldRows<D, RowTiles>& rows, int m, int n) const {
    if constexpr (Parks) {
      return own[n][threadIdx.x];
    } else {
      return as_vec(rows.a[m][n]);
    }
  }

 private:
  __device__ static Vec<std::uint32_t, 4> as_vec(const std::uint32_t (&a)[4]) { return {{a[0], a[1], a[2], a[3]}}; }
};

/// Writes fragments d, rows [first, first + 16) of a head by its columns; row half r is multiplied by factor[r].
template <int D>
__device__ __forceinline__ void store_rows(const HeadRows<bfloat16>& head, int first,
                                           const float (&d)[padded_head<D> / 8][4], const float (&factor)[2]) {
  constexpr int chunks = padded_head<D> / 8;
  const int t = lane_id() % 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int i = first + 8 * r + lane_id() / 4;
    const bool valid = i < head.count;
    bfloat16* const row = head.row(min(i, head.count - 1));
#pragma unroll
    for (int c = 0; c < chunks; c += 4) {
      std::uint32_t w[4] = {};
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        if (c + n < chunks) w[n] = pack_bf16x2(d[c + n][2 * r] * factor[r], d[c + n][2 * r + 1] * factor[r]);
      }
      if constexpr (D % 8 == 0) {
        transpose_in_quad(w);
        if (valid && (c + t) * 8 < D) {
          *as_vector<Vec<std::uint32_t, 4>>(row + (c + t) * 8) = Vec<std::uint32_t, 4>{{w[0], w[1], w[2], w[3]}};
        }
      } else {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          const int column = (c + n) * 8 + 2 * t;
          if (valid && column < D) row[column] = bfloat16::from_bits(static_cast<std::uint16_t>(w[n]));
          if (valid && column + 1 < D) row[column + 1] = bfloat16::from_bits(static_cast<std::uint16_t>(w[n] >> 16));
        }
      }
    }
  }
}

}  // namespace tinygpt::gpu

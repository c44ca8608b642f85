// LayerNorm and RMSNorm, joined with the residual addition before them. Twin of reference/norm.hpp.
// A team of warps keeps a row in registers: every tensor is read once and written once. Gradients of weight and bias
// are summed in registers over the rows of a block, then over blocks by add_partials.
#pragma once

#include <cmath>

#include <tinygpt/gpu/block_reduce.cuh>
#include <tinygpt/gpu/dropout.cuh>
#include <tinygpt/gpu/partials.cuh>
#include <tinygpt/gpu/rows.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

/// Who works on a row of C elements: as many warps as it takes for a lane to hold at most `Most` elements. Rows of one
/// warp are worked on four to a block, and rows of two warps `Twos` to a block.
template <class E, int C, int Most, int Twos> struct NormTeam {
  static constexpr int n = row_vec<E, C>;  ///< elements of an access
  static constexpr int vectors = C / n;
  static constexpr int fewest = (vectors + warp_size * (Most / n) - 1) / (warp_size * (Most / n));
  static constexpr int team_warps = fewest < 32 ? fewest : 32;
  static constexpr int lanes = team_warps * warp_size;
  static constexpr int per_lane = (vectors + lanes - 1) / lanes;
  static constexpr int teams = team_warps == 1 ? 4 : team_warps == 2 ? Twos : 1;  ///< in a block
  static constexpr int threads = teams * lanes;

  using Numbers = Vec<float, n>[per_lane];

  /// This thread's team in the block, and its number in the team.
  __device__ static int team() { return static_cast<int>(threadIdx.x) / lanes; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % lanes; }

  /// Calls f(i, column) for each vector that this thread has of a row.
  template <class F> __device__ __forceinline__ static void each(F&& f) {
#pragma unroll
    for (int i = 0; i < per_lane; ++i) {
      const int vector = i * lanes + lane();
      if (vectors == per_lane * lanes || vector < vectors) f(i, vector * n);
    }
  }
};

template <class E, int C> using NormForward = NormTeam<E, C, 32, 1>;

/// Fewer elements, as a lane has two sums for each as well, and three tensors to wait for.
template <class E, int C> using NormBackward = NormTeam<E, C, sizeof(E) == 2 ? 24 : 16, 2>;

template <class E, int C> struct NormShared { BlockReduce<NormForward<E, C>::lanes, float> sum; };

/// x = residual_in + dropout(branch), stored, or x = residual_in where there is no branch; then normed = norm(x). Of x
/// the stored number is normalised, so that norm of a residual that was kept gives the same bits.
template <NormKind K, class E, int C>
__global__ void __launch_bounds__(NormForward<E, C>::threads)
    norm_kernel(E* normed, E* residual_out, float* mean, float* rstd, const E* residual_in, const E* branch,
                const E* weight, const E* bias, std::int64_t rows, int T, Dropout dropout, float eps) {
  static_assert(K == layer || K == rms,
                "tinygpt: gpu::norm_kernel knows layer and rms: write what this NormKind computes");
  using Team = NormForward<E, C>;
  constexpr int n = Team::n;
  auto& shared = shared_memory<NormShared<E, C>>();
  const auto team_sum = [&](float value) {
    if constexpr (Team::team_warps == 1) return warp_sum(value);
    return block_sum(value, shared.sum);
  };
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * Team::teams + Team::team();
  if (row < rows) {
    const std::int64_t begin = row * C;
    typename Team::Numbers x = {};
    Team::each([&](int i, int c) { x[i] = to_float(load_vec<n>(residual_in + begin + c)); });
    if (branch != nullptr) {
      Vec<E, n> added[Team::per_lane];
      Team::each([&](int i, int c) { added[i] = load_vec<n>(branch + begin + c); });
      const Mask mask(dropout);
      const Token token = mask ? token_of(row, T) : Token{};
      const std::int64_t mask_row = mask.row(token.b, token.t);
      Team::each([&](int i, int c) {
        Vec<float, n> change = to_float(added[i]);
        if (mask) change = change * mask.factors<n>(mask_row, c, C);
        const Vec<E, n> sum = from_float<E>(x[i] + change);
        store_vec(residual_out + begin + c, sum);
        x[i] = to_float(sum);
      });
    }

    float mu = 0;
    if constexpr (K == layer) {
      float sum = 0;
      Team::each([&](int i, int) {
#pragma unroll
        for (int j = 0; j < n; ++j) sum += x[i][j];
      });
      mu = team_sum(sum) * (1.0f / C);
    }
    float squares = 0;
    Team::each([&](int i, int) {
#pragma unroll
      for (int j = 0; j < n; ++j) {
        x[i][j] -= mu;
        squares = fmaf(x[i][j], x[i][j], squares);
      }
    });
    const float r = rsqrtf(team_sum(squares) * (1.0f / C) + eps);
    Team::each([&](int i, int c) {
      const Vec<float, n> w = to_float(load_vec<n>(weight + c));
      Vec<float, n> b = {};
      if (K == layer && bias != nullptr) b = to_float(load_vec<n>(bias + c));
      Vec<float, n> y;
#pragma unroll
      for (int j = 0; j < n; ++j) y[j] = fmaf(x[i][j] * r, w[j], b[j]);
      store_vec(normed + begin + c, from_float<E>(y));
    });
    if (Team::lane() == 0) {
      if constexpr (K == layer) mean[row] = mu;
      rstd[row] = r;
    }
  }
}

/// Sums of parameter gradients in a part: of the weight and, for LayerNorm, of the bias.
template <NormKind K> inline constexpr int norm_outputs = K == layer ? 2 : 1;

template <NormKind K, class E, int C> struct NormBackwardShared {
  float2 partial[2][NormBackward<E, C>::threads / warp_size];  ///< in turn, so that one barrier a row is enough
  alignas(16) float sums[NormBackward<E, C>::teams == 1 ? 4 : norm_outputs<K> * C];
};

/// A block is a part of the rows, its teams take them in turn.
template <NormKind K, class E, int C>
__global__ void __launch_bounds__(NormBackward<E, C>::threads)
    norm_backward_kernel(E* d_residual, E* d_branch, float* partials, const E* d_normed, const E* residual,
                         const float* mean, const float* rstd, const E* weight, std::int64_t rows,
                         std::int64_t rows_per_part, int T, Dropout dropout) {
  static_assert(K == layer || K == rms,
                "tinygpt: gpu::norm_backward_kernel knows layer and rms: write what this NormKind computes");
  using Team = NormBackward<E, C>;
  constexpr int n = Team::n;
  auto& shared = shared_memory<NormBackwardShared<K, E, C>>();
  const Mask mask(dropout);
  typename Team::Numbers d_weight = {}, d_bias = {};

  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * rows_per_part;
  const std::int64_t last = first + rows_per_part < rows ? first + rows_per_part : rows;
  int turn = 0;
  for (std::int64_t next = first; next < last; next += Team::teams) {
    const std::int64_t row = next + Team::team(), begin = row * C;
    const bool working = row < last;  // a team without a row comes along to the barriers
    Vec<E, n> x[Team::per_lane], dy[Team::per_lane], dx[Team::per_lane];
    float mu = 0, r = 0;
    float2 sum = {0, 0};
    const auto x_hat = [&](float number) { return (number - mu) * r; };
    if (working) {
      Team::each([&](int i, int c) {
        dy[i] = load_vec<n>(d_normed + begin + c);
        x[i] = load_vec<n>(residual + begin + c);
      });
      Team::each([&](int i, int c) { dx[i] = load_vec<n>(d_residual + begin + c); });
      if constexpr (K == layer) mu = mean[row];
      r = rstd[row];
      Team::each([&](int i, int c) {
        const Vec<float, n> w = to_float(load_vec<n>(weight + c)), in = to_float(x[i]), out = to_float(dy[i]);
#pragma unroll
        for (int j = 0; j < n; ++j) {
          const float g = out[j] * w[j], xh = x_hat(in[j]);
          if constexpr (K == layer) {
            sum.x += g;
            d_bias[i][j] += out[j];
          }
          sum.y = fmaf(g, xh, sum.y);
          d_weight[i][j] = fmaf(out[j], xh, d_weight[i][j]);
        }
      });
      if constexpr (K == layer) sum.x = warp_sum(sum.x);
      sum.y = warp_sum(sum.y);
    }
    if constexpr (Team::team_warps > 1) {
      if (lane_id() == 0) shared.partial[turn][warp_id()] = sum;
      __syncthreads();
      sum = {0, 0};
#pragma unroll
      for (int w = 0; w < Team::team_warps; ++w) {
        const float2 part = shared.partial[turn][Team::team() * Team::team_warps + w];
        sum.x += part.x;
        sum.y += part.y;
      }
      turn = 1 - turn;
    }
    if (working) {
      const float mean_g = sum.x * (1.0f / C), mean_gx = sum.y * (1.0f / C);
      const Token token = mask && d_branch != nullptr ? token_of(row, T) : Token{};
      const std::int64_t mask_row = mask.row(token.b, token.t);
      Team::each([&](int i, int c) {
        const Vec<float, n> w = to_float(load_vec<n>(weight + c)), in = to_float(x[i]), out = to_float(dy[i]);
        Vec<float, n> d = to_float(dx[i]);
#pragma unroll
        for (int j = 0; j < n; ++j) d[j] = fmaf(out[j] * w[j] - mean_g - x_hat(in[j]) * mean_gx, r, d[j]);
        const Vec<E, n> stored = from_float<E>(d);
        store_vec(d_residual + begin + c, stored);
        if (d_branch != nullptr) {
          Vec<float, n> kept = to_float(stored);
          if (mask) kept = kept * mask.factors<n>(mask_row, c, C);
          store_vec(d_branch + begin + c, from_float<E>(kept));
        }
      });
    }
  }

  float* const out = partials + static_cast<std::int64_t>(blockIdx.x) * norm_outputs<K> * C;
  if constexpr (Team::teams == 1) {
    Team::each([&](int i, int c) {
      store_vec(out + c, d_weight[i]);
      if constexpr (K == layer) store_vec(out + C + c, d_bias[i]);
    });
  } else {
    // The teams add theirs in order.
    for (int t = 0; t < Team::teams; ++t) {
      if (Team::team() == t) {
        Team::each([&](int i, int c) {
          const auto add = [&](float* sums, const Vec<float, n>& own) {
            store_vec(sums, t == 0 ? own : load_vec<n>(sums) + own);
          };
          add(shared.sums + c, d_weight[i]);
          if constexpr (K == layer) add(shared.sums + C + c, d_bias[i]);
        });
      }
      __syncthreads();
    }
    for (int c = static_cast<int>(threadIdx.x); c < norm_outputs<K> * C; c += Team::threads) out[c] = shared.sums[c];
  }
}

/// normed = norm(residual), with the statistics that its gradient needs.
template <NormKind K, class E, int C>
void norm(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> normed, Out<float, Batch<dyn>, Time<dyn>> mean,
          Out<float, Batch<dyn>, Time<dyn>> rstd, In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, In<E, Embd<C>> weight,
          In<E, Embd<C>> bias, double eps) {
  using Team = NormForward<E, C>;
  launch<norm_kernel<K, E, C>>(
      Grid{blocks_for(normed.rows(), Team::teams), Team::threads, sizeof(NormShared<E, C>), ctx.stream()},
      normed.data(), nullptr, mean.data(), rstd.data(), residual.data(), nullptr, weight.data(), bias.data(),
      normed.rows(), normed.template extent<Time>(), Dropout{}, static_cast<float>(eps));
}

/// residual_out = residual_in + dropout(branch); normed = norm(residual_out). Bytes 4 B T C sizeof(E).
template <NormKind K, class E, int C>
void residual_norm(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> normed,
                   Out<E, Batch<dyn>, Time<dyn>, Embd<C>> residual_out, Out<float, Batch<dyn>, Time<dyn>> mean,
                   Out<float, Batch<dyn>, Time<dyn>> rstd, In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual_in,
                   In<E, Batch<dyn>, Time<dyn>, Embd<C>> branch, In<E, Embd<C>> weight, In<E, Embd<C>> bias,
                   Dropout dropout, double eps) {
  using Team = NormForward<E, C>;
  launch<norm_kernel<K, E, C>>(
      Grid{blocks_for(normed.rows(), Team::teams), Team::threads, sizeof(NormShared<E, C>), ctx.stream()},
      normed.data(), residual_out.data(), mean.data(), rstd.data(), residual_in.data(), branch.data(), weight.data(),
      bias.data(), normed.rows(), normed.template extent<Time>(), dropout, static_cast<float>(eps));
}

/// Bytes of scratch of residual_norm_backward over so many tokens.
constexpr std::int64_t norm_backward_scratch(std::int64_t tokens, int width) {
  return partials_scratch(RowParts(tokens).parts, 2, width);
}

/// d_residual += norm'(d_normed); d_weight, d_bias +=; d_branch = dropout(d_residual), where it is not null. RMSNorm
/// has no bias. Bytes 5 B T C sizeof(E).
template <NormKind K, class E, int C>
void residual_norm_backward(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> d_residual,
                            Out<E, Batch<dyn>, Time<dyn>, Embd<C>> d_branch, Out<float, Embd<C>> d_weight,
                            Out<float, Embd<C>> d_bias, In<E, Batch<dyn>, Time<dyn>, Embd<C>> d_normed,
                            In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, In<float, Batch<dyn>, Time<dyn>> mean,
                            In<float, Batch<dyn>, Time<dyn>> rstd, In<E, Embd<C>> weight, Dropout dropout) {
  using Team = NormBackward<E, C>;
  const std::int64_t rows = d_residual.rows();
  const RowParts deal(rows);
  auto* const partials = static_cast<float*>(ctx.scratch(norm_backward_scratch(rows, C)));
  launch<norm_backward_kernel<K, E, C>>(
      Grid{static_cast<unsigned>(deal.parts), Team::threads, sizeof(NormBackwardShared<K, E, C>), ctx.stream()},
      d_residual.data(), d_branch.data(), partials, d_normed.data(), residual.data(), mean.data(), rstd.data(),
      weight.data(), rows, deal.rows_per_part, d_residual.template extent<Time>(), dropout);
  add_partials<norm_outputs<K>>(ctx, d_weight.data(), d_bias.data(), partials, deal.parts, C);
}

}  // namespace tinygpt::gpu

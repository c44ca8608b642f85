// QK-norm and RoPE of the heads of each token, after the projection. Twin of reference/qkv.hpp, all but the projection.
// A few lanes have a head, each lane the same vectors of its two halves, which RoPE pairs: one read and one write.
#pragma once

#include <bit>
#include <cmath>

#include <tinygpt/gpu/partials.cuh>
#include <tinygpt/gpu/rows.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

inline constexpr int head_threads = 256;

/// The lanes that share a head of D numbers. An odd D, which RoPE cannot have, has a second half that is one shorter.
template <class E, int D> struct HeadLanes {
  static constexpr int half = (D + 1) / 2;
  static constexpr int n = D % 2 == 0 ? row_vec<E, half> : 1;  ///< elements of an access
  static constexpr int vectors = half / n;                     ///< of a half
  static constexpr int lanes = vectors >= warp_size ? warp_size : static_cast<int>(std::bit_ceil(unsigned(vectors)));
  static constexpr int per_lane = (vectors + lanes - 1) / lanes;
  static constexpr int heads = head_threads / lanes;  ///< at once in a block

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % lanes; }
  __device__ static int head() { return static_cast<int>(threadIdx.x) / lanes; }

  /// Calls f(i, column) for each of this lane's vectors of the first half; the second half's are `half` columns on.
  template <class F> __device__ __forceinline__ static void each(F&& f) {
#pragma unroll
    for (int i = 0; i < per_lane; ++i) {
      const int vector = i * lanes + lane();
      if (vectors == per_lane * lanes || vector < vectors) f(i, vector * n);
    }
  }

  /// This lane's numbers of a head, as floats.
  struct Numbers {
    Vec<float, n> first[per_lane] = {}, second[per_lane] = {};

    __device__ __forceinline__ void load(const E* head) {
      each([&](int i, int c) {
        const Vec<E, n> low = load_vec<n>(head + c);
        if (half + c < D) second[i] = to_float(load_vec<n>(head + half + c));
        first[i] = to_float(low);
      });
    }
    __device__ __forceinline__ void store(E* head) const {
      each([&](int i, int c) {
        store_vec(head + c, from_float<E>(first[i]));
        if (half + c < D) store_vec(head + half + c, from_float<E>(second[i]));
      });
    }

    /// Rotates the pairs by the angles of a position; backwards for direction = -1.
    __device__ __forceinline__ void rotate(const float* angles, float direction) {
      if constexpr (D % 2 == 0) {
        each([&](int i, int c) {
          const Vec<float, n> cosine = load_vec<n>(angles + c), sine = load_vec<n>(angles + half + c);
#pragma unroll
          for (int j = 0; j < n; ++j) {
            const float a = first[i][j], b = second[i][j], s = direction * sine[j];
            first[i][j] = a * cosine[j] - b * s;
            second[i][j] = b * cosine[j] + a * s;
          }
        });
      }
    }
  };
};

/// Is the projection kept beside the heads, as QK-norm wants it?
enum class Raw { none, kept };

/// Raw::kept: y = the heads of `raw`, queries and keys normalised and rotated, values as they are. Raw::none: queries
/// and keys of y are rotated in place.
template <Raw R, class E, int Q, int KV, int D>
__global__ void __launch_bounds__(head_threads)
    qkv_rows_kernel(E* y, const E* raw, float* rstd, const E* q_norm, const E* k_norm, const float* rope,
                    FirstPosition first_position, float direction, std::int64_t rows, int T, float eps) {
  using Head = HeadLanes<E, D>;
  constexpr int heads = R == Raw::kept ? Q + 2 * KV : Q + KV;
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * Head::heads + Head::head();
  const std::int64_t row = item / heads;
  const int h = static_cast<int>(item % heads);
  const std::int64_t at = row * ((Q + 2 * KV) * D) + h * D;
  const bool working = row < rows;
  typename Head::Numbers x;
  if (working) x.load(R == Raw::kept ? raw + at : y + at);
  if constexpr (R == Raw::kept) {
    float squares = 0;
    Head::each([&](int i, int) {
#pragma unroll
      for (int j = 0; j < Head::n; ++j) {
        squares = fmaf(x.first[i][j], x.first[i][j], squares);
        squares = fmaf(x.second[i][j], x.second[i][j], squares);
      }
    });
    squares = warp_sum<Head::lanes>(squares);
    if (working && h < Q + KV) {
      const float r = rsqrtf(squares * (1.0f / D) + eps);
      if (Head::lane() == 0) rstd[row * (Q + KV) + h] = r;
      typename Head::Numbers weight;
      weight.load(h < Q ? q_norm : k_norm);
      Head::each([&](int i, int) {
#pragma unroll
        for (int j = 0; j < Head::n; ++j) {
          x.first[i][j] *= r * weight.first[i][j];
          x.second[i][j] *= r * weight.second[i][j];
        }
      });
    }
  }
  if (working) {
    if (rope != nullptr && h < Q + KV) {
      const Token token = token_of(row, T);
      const std::int64_t position = std::int64_t{first_position(token.b)} + token.t;
      x.rotate(rope + position * D, direction);
    }
    x.store(y + at);
  }
}

template <int D> struct QkNormBackwardShared { float sums[warps<head_threads>][D]; };

/// d_qkv in place: rotated back, then through the norm. A block is a part of the rows, first all of its queries, then
/// all of its keys; partials[part][0] is the gradient of q_norm, [1] of k_norm.
template <class E, int Q, int KV, int D>
__global__ void __launch_bounds__(head_threads, 2)
    qk_norm_backward_kernel(E* d_qkv, float* partials, const E* raw, const float* rstd, const E* q_norm,
                            const E* k_norm, const float* rope, std::int64_t rows, std::int64_t rows_per_part, int T) {
  using Head = HeadLanes<E, D>;
  constexpr int n = Head::n;
  auto& shared = shared_memory<QkNormBackwardShared<D>>();
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * rows_per_part;
  const std::int64_t last = first + rows_per_part < rows ? first + rows_per_part : rows;

  const auto kind = [&](int first_head, auto count, const E* norm_weight, float* out) {
    constexpr int heads = decltype(count)::value;
    typename Head::Numbers weight, d_weight;
    weight.load(norm_weight);
    const std::int64_t items = (last - first) * heads;
    for (std::int64_t next = 0; next < items; next += Head::heads) {
      const std::int64_t item = next + Head::head(), row = first + item / heads;
      const int h = first_head + static_cast<int>(item % heads);
      const std::int64_t at = row * ((Q + 2 * KV) * D) + h * D;
      const bool working = item < items;  // heads come along to the sums of their warp
      typename Head::Numbers dy, x;
      float r = 0, sum = 0;
      if (working) {
        dy.load(d_qkv + at);
        x.load(raw + at);
        r = rstd[row * (Q + KV) + h];
        if (rope != nullptr) dy.rotate(rope + std::int64_t{token_of(row, T).t} * D, -1.0f);
        const auto take = [&](float out_gradient, float& x_hat, float w, float& d_w) {
          x_hat *= r;
          d_w = fmaf(out_gradient, x_hat, d_w);
          sum = fmaf(out_gradient * w, x_hat, sum);
        };
        Head::each([&](int i, int) {
#pragma unroll
          for (int j = 0; j < n; ++j) {
            take(dy.first[i][j], x.first[i][j], weight.first[i][j], d_weight.first[i][j]);
            take(dy.second[i][j], x.second[i][j], weight.second[i][j], d_weight.second[i][j]);
          }
        });
      }
      const float mean_gx = warp_sum<Head::lanes>(sum) * (1.0f / D);
      if (working) {
        Head::each([&](int i, int) {
#pragma unroll
          for (int j = 0; j < n; ++j) {
            dy.first[i][j] = r * (dy.first[i][j] * weight.first[i][j] - x.first[i][j] * mean_gx);
            dy.second[i][j] = r * (dy.second[i][j] * weight.second[i][j] - x.second[i][j] * mean_gx);
          }
        });
        dy.store(d_qkv + at);
      }
    }
    // The heads of a warp, then the warps.
    const auto sum_heads = [](float& value) {
#pragma unroll
      for (int step = Head::lanes; step < warp_size; step *= 2) value += __shfl_xor_sync(full_warp, value, step);
    };
#pragma unroll
    for (int i = 0; i < Head::per_lane; ++i) {
#pragma unroll
      for (int j = 0; j < n; ++j) {
        sum_heads(d_weight.first[i][j]);
        sum_heads(d_weight.second[i][j]);
      }
    }
    if (lane_id() < Head::lanes) {
      Head::each([&](int i, int c) {
#pragma unroll
        for (int j = 0; j < n; ++j) {
          shared.sums[warp_id()][c + j] = d_weight.first[i][j];
          if (Head::half + c + j < D) shared.sums[warp_id()][Head::half + c + j] = d_weight.second[i][j];
        }
      });
    }
    __syncthreads();
    for (int d = static_cast<int>(threadIdx.x); d < D; d += head_threads) {
      float total = 0;
#pragma unroll
      for (int w = 0; w < warps<head_threads>; ++w) total += shared.sums[w][d];
      out[d] = total;
    }
    __syncthreads();
  };
  float* const out = partials + static_cast<std::int64_t>(blockIdx.x) * 2 * D;
  kind(0, std::integral_constant<int, Q>{}, q_norm, out);
  kind(Q, std::integral_constant<int, KV>{}, k_norm, out + D);
}

/// The rows of qkv after the projection: from raw into y where raw is kept (QK-norm), else y in place.
template <class E, int Q, int KV, int D, int N>
void qkv_rows(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> y,
              In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw, Out<float, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd,
              In<E, HeadDim<D>> q_norm, In<E, HeadDim<D>> k_norm, Tensor<const float, Ctx<N>, HeadDim<D>> rope,
              FirstPosition first_position, double eps) {
  const auto start = [&](auto kind, int heads) {
    launch<qkv_rows_kernel<decltype(kind)::value, E, Q, KV, D>>(
        Grid{blocks_for(y.rows() * heads, HeadLanes<E, D>::heads), head_threads, 0, ctx.stream()}, y.data(), raw.data(),
        rstd.data(), q_norm.data(), k_norm.data(), rope.data(), first_position, 1.0f, y.rows(),
        y.template extent<Time>(), static_cast<float>(eps));
  };
  if (raw) {
    start(std::integral_constant<Raw, Raw::kept>{}, Q + 2 * KV);
  } else if (rope) {
    start(std::integral_constant<Raw, Raw::none>{}, Q + KV);
  }
}

/// How rows are dealt to blocks in the backward pass of QK-norm.
constexpr RowParts qk_norm_parts(std::int64_t tokens) { return RowParts(tokens, 8); }

/// Bytes of scratch of qkv_rows_backward over so many tokens.
constexpr std::int64_t qkv_backward_scratch(std::int64_t tokens, int head_dim) {
  return partials_scratch(qk_norm_parts(tokens).parts, 2, head_dim);
}

/// d_qkv becomes the gradient of the projection in place; d_q_norm, d_k_norm +=. Positions begin at 0.
template <class E, int Q, int KV, int D, int N>
void qkv_rows_backward(Context<E>& ctx, Out<float, HeadDim<D>> d_q_norm, Out<float, HeadDim<D>> d_k_norm,
                       Tensor<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv,
                       In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw,
                       In<float, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd, In<E, HeadDim<D>> q_norm,
                       In<E, HeadDim<D>> k_norm, Tensor<const float, Ctx<N>, HeadDim<D>> rope) {
  const std::int64_t rows = d_qkv.rows();
  const int T = d_qkv.template extent<Time>();
  if (raw) {
    const RowParts deal = qk_norm_parts(rows);
    auto* const partials = static_cast<float*>(ctx.scratch(qkv_backward_scratch(rows, D)));
    launch<qk_norm_backward_kernel<E, Q, KV, D>>(
        Grid{static_cast<unsigned>(deal.parts), head_threads, sizeof(QkNormBackwardShared<D>), ctx.stream()},
        d_qkv.data(), partials, raw.data(), rstd.data(), q_norm.data(), k_norm.data(), rope.data(), rows,
        deal.rows_per_part, T);
    add_partials<2>(ctx, d_q_norm.data(), d_k_norm.data(), partials, deal.parts, D);
  } else if (rope) {
    launch<qkv_rows_kernel<Raw::none, E, Q, KV, D>>(
        Grid{blocks_for(rows * (Q + KV), HeadLanes<E, D>::heads), head_threads, 0, ctx.stream()}, d_qkv.data(), nullptr,
        nullptr, nullptr, nullptr, rope.data(), FirstPosition(0), -1.0f, rows, T, 0.0f);
  }
}

}  // namespace tinygpt::gpu

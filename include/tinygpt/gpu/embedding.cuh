// Token and learned-position embedding. Twin of reference/embedding.hpp.
// Backward: places in the order of their tokens are dealt in equal runs to warps, however often a token occurs; what a
// warp sums of a token that goes on in the next run is added by a second kernel. Every sum has one order.
#pragma once

#include <tinygpt/gpu/dropout.cuh>
#include <tinygpt/gpu/rows.cuh>
#include <tinygpt/gpu/token_order.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

inline constexpr int embed_threads = 256;

/// A thread has one vector of the residual.
template <class E, int C>
__global__ void __launch_bounds__(embed_threads)
    embed_kernel(E* residual, const std::int32_t* tokens, const E* token_embedding, const E* position_embedding,
                 FirstPosition first_position, std::int64_t rows, int T, Dropout dropout) {
  constexpr int n = row_vec<E, C>;
  const std::int64_t vector = global_thread(), row = vector / (C / n);
  if (row < rows) {
    const Mask mask(dropout);
    const int c = static_cast<int>(vector % (C / n)) * n;
    const Token token = token_of(row, T);
    const Vec<E, n> word = load_vec<n>(token_embedding + std::int64_t{tokens[row]} * C + c);
    Vec<float, n> x = to_float(word);
    if (position_embedding != nullptr) {
      const std::int64_t position = std::int64_t{first_position(token.b)} + token.t;
      x = x + to_float(load_vec<n>(position_embedding + position * C + c));
    }
    if (mask) x = x * mask.factors<n>(mask.row(token.b, token.t), c, C);
    store_vec(residual + row * C + c, from_float<E>(x));
  }
}

/// How places are dealt: runs of at least 32 of them, at most 1024 runs, by the number of places alone.
struct TokenRuns {
  std::int64_t size, runs;

  constexpr explicit TokenRuns(std::int64_t places)
      : size((places + 1023) / 1024 < 32 ? 32 : (places + 1023) / 1024), runs((places + size - 1) / size) {}
};

inline constexpr int token_sum_threads = 128;

/// A warp has a run of places and a strip of columns: one vector a lane. The first and the last token of a run may also
/// stand in others: then their sums go to edges[run][0] or [1]. A token that fills the run has both ends there: [0].
template <class E, int C>
__global__ void __launch_bounds__(token_sum_threads, 4)
    token_sum_kernel(float* d_token_embedding, float* edges, const E* d_residual, const std::int32_t* tokens,
                     const std::int32_t* order, std::int64_t places, std::int64_t run_size, std::int64_t runs, int T,
                     Dropout dropout) {
  constexpr int n = row_vec<E, C>, strip = warp_size * n, strips = (C + strip - 1) / strip;
  const std::int64_t task = static_cast<std::int64_t>(blockIdx.x) * warps<token_sum_threads> + warp_id();
  const std::int64_t run = task / strips;
  const int c = static_cast<int>(task % strips) * strip + lane_id() * n;
  if (run < runs && c < C) {
    const Mask mask(dropout);
    const std::int64_t first = run * run_size, last = first + run_size < places ? first + run_size : places;
    const auto token_at = [&](std::int64_t i) { return tokens[order[i]]; };
    const bool from_before = first > 0 && token_at(first - 1) == token_at(first);
    const bool goes_on = last < places && token_at(last) == token_at(last - 1);
    std::int32_t token = token_at(first);
    bool shared = from_before;
    Vec<float, n> sum = {};
    const auto put = [&](int edge) {
      float* out = edge >= 0 ? edges + (run * 2 + edge) * C + c : d_token_embedding + std::int64_t{token} * C + c;
      store_vec(out, edge >= 0 ? sum : load_vec<n>(out) + sum);
    };
    constexpr int ahead = 4;  // rows that are read at once
    for (std::int64_t i = first; i < last; i += ahead) {
      Vec<E, n> rows[ahead];
      std::int32_t places_of[ahead], tokens_of[ahead];
#pragma unroll
      for (int a = 0; a < ahead; ++a) {
        places_of[a] = order[i + a < last ? i + a : last - 1];
        tokens_of[a] = tokens[places_of[a]];
        rows[a] = load_vec<n>(d_residual + std::int64_t{places_of[a]} * C + c);
      }
#pragma unroll
      for (int a = 0; a < ahead; ++a) {
        if (i + a < last) {
          if (tokens_of[a] != token) {
            put(shared ? 0 : -1);
            token = tokens_of[a];
            shared = false;
            sum = {};
          }
          Vec<float, n> g = to_float(rows[a]);
          if (mask) {
            const Token at = token_of(places_of[a], T);
            g = g * mask.factors<n>(mask.row(at.b, at.t), c, C);
          }
          sum = sum + g;
        }
      }
    }
    put(shared ? 0 : goes_on ? 1 : -1);
  }
}

/// Adds the sums of tokens that stand in several runs. A warp has a run and a strip, and works where a token of several
/// runs begins in its own.
template <class E, int C>
__global__ void __launch_bounds__(token_sum_threads)
    token_edges_kernel(float* d_token_embedding, const float* edges, const std::int32_t* tokens,
                       const std::int32_t* order, std::int64_t run_size, std::int64_t runs) {
  constexpr int n = row_vec<E, C>, strip = warp_size * n, strips = (C + strip - 1) / strip;
  const std::int64_t task = static_cast<std::int64_t>(blockIdx.x) * warps<token_sum_threads> + warp_id();
  const std::int64_t run = task / strips;
  const int c = static_cast<int>(task % strips) * strip + lane_id() * n;
  if (run + 1 < runs && c < C) {
    const auto token_at = [&](std::int64_t i) { return tokens[order[i]]; };
    const std::int64_t first = run * run_size, next = first + run_size;
    const std::int32_t token = token_at(next - 1);
    const bool filled_from_before = first > 0 && token_at(first - 1) == token;
    if (!filled_from_before && token_at(next) == token) {
      Vec<float, n> sum = load_vec<n>(edges + (run * 2 + 1) * C + c);
      for (std::int64_t r = run + 1; r < runs && token_at(r * run_size) == token; ++r) {
        sum = sum + load_vec<n>(edges + r * 2 * C + c);
      }
      float* const out = d_token_embedding + std::int64_t{token} * C + c;
      store_vec(out, load_vec<n>(out) + sum);
    }
  }
}

/// A thread has a vector of a position and goes through the batch.
template <class E, int C>
__global__ void __launch_bounds__(embed_threads)
    position_sum_kernel(float* d_position_embedding, const E* d_residual, int B, int T, Dropout dropout) {
  constexpr int n = row_vec<E, C>;
  const std::int64_t vector = global_thread();
  const std::int64_t t = vector / (C / n);
  if (t < T) {
    const Mask mask(dropout);
    const int c = static_cast<int>(vector % (C / n)) * n;
    Vec<float, n> sum = {};
#pragma unroll 4
    for (int b = 0; b < B; ++b) {
      Vec<float, n> g = to_float(load_vec<n>(d_residual + (std::int64_t{b} * T + t) * C + c));
      if (mask) g = g * mask.factors<n>(mask.row(b, static_cast<int>(t)), c, C);
      sum = sum + g;
    }
    float* const out = d_position_embedding + t * C + c;
    store_vec(out, load_vec<n>(out) + sum);
  }
}

/// residual[b, t] = dropout(token_embedding[tokens[b, t]] + position_embedding[first_position(b) + t])
template <class E, int V, int C, int N>
void embed(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, TokenIds tokens,
           Tensor<const E, Vocab<V>, Embd<C>> token_embedding, Tensor<const E, Ctx<N>, Embd<C>> position_embedding,
           FirstPosition first_position, Dropout dropout) {
  const std::int64_t rows = tokens.size();
  launch<embed_kernel<E, C>>(
      Grid{blocks_for(rows * (C / row_vec<E, C>), embed_threads), embed_threads, 0, ctx.stream()}, residual.data(),
      tokens.data(), token_embedding.data(), position_embedding.data(), first_position, rows,
      tokens.template extent<Time>(), dropout);
}

/// Bytes of scratch of embed_backward: the order of the tokens, and two edges of each run.
constexpr std::int64_t embed_backward_scratch(std::int64_t tokens, int vocab, int width) {
  const std::int64_t order = (token_order_scratch(tokens, vocab) + 255) / 256 * 256;
  return order + TokenRuns(tokens).runs * 2 * width * static_cast<std::int64_t>(sizeof(float));
}

/// d_token_embedding, d_position_embedding +=; positions begin at 0.
template <class E, int V, int C, int N>
void embed_backward(Context<E>& ctx, Tensor<float, Vocab<V>, Embd<C>> d_token_embedding,
                    Tensor<float, Ctx<N>, Embd<C>> d_position_embedding,
                    In<E, Batch<dyn>, Time<dyn>, Embd<C>> d_residual, TokenIds tokens, Dropout dropout) {
  constexpr int n = row_vec<E, C>, strips = (C + warp_size * n - 1) / (warp_size * n);
  const std::int64_t places = tokens.size();
  const int B = tokens.template extent<Batch>(), T = tokens.template extent<Time>();
  if (places == 0) return;
  const TokenRuns deal(places);
  auto* const scratch = static_cast<std::byte*>(ctx.scratch(embed_backward_scratch(places, V, C)));
  const std::int32_t* const order = token_order<V>(ctx, scratch, tokens.data(), places);
  auto* const edges = reinterpret_cast<float*>(scratch + (token_order_scratch(places, V) + 255) / 256 * 256);
  const Grid grid{blocks_for(deal.runs * strips, warps<token_sum_threads>), token_sum_threads, 0, ctx.stream()};
  launch<token_sum_kernel<E, C>>(grid, d_token_embedding.data(), edges, d_residual.data(), tokens.data(), order, places,
                                 deal.size, deal.runs, T, dropout);
  launch<token_edges_kernel<E, C>>(grid, d_token_embedding.data(), edges, tokens.data(), order, deal.size, deal.runs);
  if (d_position_embedding) {
    launch<position_sum_kernel<E, C>>(
        Grid{blocks_for(std::int64_t{T} * (C / n), embed_threads), embed_threads, 0, ctx.stream()},
        d_position_embedding.data(), d_residual.data(), B, T, dropout);
  }
}

}  // namespace tinygpt::gpu

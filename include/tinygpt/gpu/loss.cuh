// The output projection with softmax cross-entropy. Twin of reference/loss.hpp.
// Strategy: logits exist for one chunk of rows; a block takes a row, finds its log-sum-exp in one pass of 16-byte loads
// and turns it into its own gradient in a second one, which runs backwards: what was read last is still near.
#pragma once

#include <cmath>
#include <cstdint>

#include <tinygpt/gpu/activation.cuh>
#include <tinygpt/gpu/block_reduce.cuh>
#include <tinygpt/gpu/column_sums.cuh>
#include <tinygpt/gpu/matmul.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

namespace detail {

enum class Gradient { no, yes };

/// Vectors that a thread loads before it uses the first.
inline constexpr int loss_loads = 4;

/// Logits of columns `column` on, minus infinity in place of what is beyond the width: a softmax of 0.
template <int N> __device__ __forceinline__ Vec<float, N> logits_within(Vec<float, N> logits, int column, int width) {
  if (column + N > width) {
#pragma unroll
    for (int i = 0; i < N; ++i) logits[i] = column + i < width ? logits[i] : -INFINITY;
  }
  return logits;
}

template <int Threads> struct LossShared { BlockReduce<Threads, float> row; };

inline constexpr int sum_threads = 1024;
template <int Threads> struct LossSumShared { BlockReduce<Threads, double> sum; };

/// Threads for a row: a few vectors for each of them.
constexpr int loss_threads(int width, int n) { return width <= 512 * n ? 128 : width <= 4096 * n ? 256 : 512; }

}  // namespace detail

/// losses[i] = log-sum-exp of row i of z - z[i][target], 0 where ignored; with Gradient::yes, z becomes
/// scale * (softmax(z) - onehot), 0 where ignored. Rows are `stride` apart, a multiple of N; what lies between the
/// width and the stride is never used, and in the end 0 as far as the row's last vector reaches.
template <class E, int N, int Threads, detail::Gradient G>
__global__ void __launch_bounds__(Threads)
    softmax_loss_kernel(E* z, float* losses, const std::int32_t* targets, int width, std::int64_t stride, float scale) {
  constexpr int loads = detail::loss_loads, sweep = Threads * N * loads;
  auto& shared = shared_memory<detail::LossShared<Threads>>();
  const std::int64_t row = blockIdx.x;
  E* const own = z + row * stride;
  const std::int32_t target = targets[row];
  const bool counts = target != ignored_target;
  const float target_logit = counts ? static_cast<float>(own[target]) : 0.0f;
  const int mine = static_cast<int>(threadIdx.x) * N;

  // Online: the sum is always relative to the largest so far. Source: Milakov, Gimelshein 2018 (arXiv:1805.02867).
  float top = -INFINITY, total = 0;
  for (int begin = mine; begin < width; begin += sweep) {
    Vec<E, N> loaded[loads];
#pragma unroll
    for (int j = 0; j < loads; ++j) {
      const int column = begin + j * Threads * N;
      if (column < width) loaded[j] = load_vec<N>(own + column);
    }
#pragma unroll
    for (int j = 0; j < loads; ++j) {
      const int column = begin + j * Threads * N;
      if (column >= width) continue;
      const Vec<float, N> logits = detail::logits_within(to_float(loaded[j]), column, width);
      float largest = logits[0];
#pragma unroll
      for (int i = 1; i < N; ++i) largest = logits[i] > largest ? logits[i] : largest;
      if (largest > top) {
        total *= exp_for<E>(top - largest);
        top = largest;
      }
#pragma unroll
      for (int i = 0; i < N; ++i) total += exp_for<E>(logits[i] - top);
    }
  }
  const float row_top = block_max(top, shared.row);
  // A thread without columns has the sum 0 relative to minus infinity.
  const float row_total = block_sum(total * exp_for<E>(top - row_top), shared.row);
  const float lse = row_top + logf(row_total);
  if (threadIdx.x == 0) losses[row] = counts ? lse - target_logit : 0.0f;

  if constexpr (G == detail::Gradient::yes) {
    const int sweeps = (width + sweep - 1) / sweep;
    for (int s = sweeps - 1; s >= 0; --s) {
      const int begin = mine + s * sweep;
      Vec<E, N> loaded[loads];
#pragma unroll
      for (int j = 0; j < loads; ++j) {
        const int column = begin + j * Threads * N;
        if (column < width) loaded[j] = load_vec<N>(own + column);
      }
#pragma unroll
      for (int j = 0; j < loads; ++j) {
        const int column = begin + j * Threads * N;
        if (column >= width) continue;
        Vec<float, N> gradient{};
        if (counts) {
          const Vec<float, N> logits = detail::logits_within(to_float(loaded[j]), column, width);
#pragma unroll
          for (int i = 0; i < N; ++i) gradient[i] = scale * exp_for<E>(logits[i] - lse);
          if (target >= column && target < column + N) {
            // By the difference first: of a probability near 1 nothing else would be left.
#pragma unroll
            for (int i = 0; i < N; ++i) {
              if (column + i == target) gradient[i] = scale * (exp_for<E>(logits[i] - lse) - 1.0f);
            }
          }
        }
        store_vec(own + column, from_float<E>(gradient));
      }
    }
  }
}

/// *loss += scale * sum of the n losses, in one block and in double: the same order always.
template <int Threads>
__global__ void __launch_bounds__(Threads)
    add_losses_kernel(float* loss, const float* losses, std::int64_t n, double scale) {
  auto& shared = shared_memory<detail::LossSumShared<Threads>>();
  double sum = 0;
#pragma unroll 4
  for (std::int64_t i = threadIdx.x; i < n; i += Threads) sum += static_cast<double>(losses[i]);
  sum = block_sum(sum, shared.sum);
  if (threadIdx.x == 0) *loss += static_cast<float>(sum * scale);
}

namespace detail {

/// How the rows are worked through: `rows` at a time, `Stride` numbers apart.
///
/// A vocabulary of 50257 would leave every second row of bfloat16 at an odd place, where neither cuBLASLt's good
/// algorithms nor 16-byte loads can go; so rows begin at multiples of 16 bytes, and the memory holds a row or so less.
/// The chunks are as equal as may be, in tiles of the product.
template <class E, int V> struct LogitsChunks {
  static constexpr int stride = (V + per_vec<E> - 1) / per_vec<E> * per_vec<E>;

  std::int64_t rows;

  LogitsChunks(std::int64_t n, std::int64_t room) {
    constexpr std::int64_t tile = 128;
    const std::int64_t chunks = (n + room - 1) / room;
    const std::int64_t equal = (n + chunks - 1) / chunks, whole = (equal + tile - 1) / tile * tile;
    rows = whole <= room ? whole : equal;
  }
};

/// Logits of every chunk, its losses and, with Gradient::yes, the gradient of the logits in their place; then
/// use(first row, rows, logits) for each chunk.
template <Gradient G, int Stride, class E, int V, class Cols, class Use>
void for_logits(Context<E>& ctx, float* losses, Tensor<E, Time<dyn>, Vocab<V>> logits,
                In<E, Batch<dyn>, Time<dyn>, Cols> x, In<E, Vocab<V>, Cols> w, In<E, Vocab<V>> b, TokenIds targets,
                double scale, Use&& use) {
  constexpr int n = row_vec<E, Stride>, threads = loss_threads(V, n);
  const LogitsChunks<E, V> chunks(x.rows(), logits.size() / Stride);
  for (std::int64_t first = 0; first < x.rows(); first += chunks.rows) {
    const std::int64_t rows = chunks.rows < x.rows() - first ? chunks.rows : x.rows() - first;
    matmul(ctx, rows, V, Cols::value, as_stored(x.data() + first * Cols::value, Cols::value),
           transposed(w.data(), Cols::value), logits.data(), Stride, Accumulate::no, b.data());
    launch<softmax_loss_kernel<E, n, threads, G>>(
        Grid{blocks_for(rows, 1), threads, sizeof(LossShared<threads>), ctx.stream()}, logits.data(), losses + first,
        targets.data() + first, V, Stride, static_cast<float>(scale));
    use(first, rows, logits.data());
  }
}

/// The same, with rows `stride` apart or, where not even one such row has room, at V.
template <Gradient G, class E, int V, class Cols, class Use>
void for_logits(Context<E>& ctx, float* loss, float* losses, Tensor<E, Time<dyn>, Vocab<V>> logits,
                In<E, Batch<dyn>, Time<dyn>, Cols> x, In<E, Vocab<V>, Cols> w, In<E, Vocab<V>> b, TokenIds targets,
                double scale, Use&& use) {
  constexpr int stride = LogitsChunks<E, V>::stride;
  const auto through = [&](auto apart) {
    for_logits<G, apart, E, V, Cols>(ctx, losses, logits, x, w, b, targets, scale,
                                     [&](std::int64_t first, std::int64_t rows, E* z) { use(first, rows, z, apart); });
  };
  if (logits.size() >= stride) {
    through(std::integral_constant<int, stride>{});
  } else {
    through(std::integral_constant<int, V>{});
  }
  launch<add_losses_kernel<sum_threads>>(Grid{1, sum_threads, sizeof(LossSumShared<sum_threads>), ctx.stream()}, loss,
                                         losses, x.rows(), scale);
}

}  // namespace detail

template <class E, int V, class Cols>
void loss_head(Context<E>& ctx, float* loss, Out<float, Batch<dyn>, Time<dyn>> losses,
               Out<E, Time<dyn>, Vocab<V>> logits, In<E, Batch<dyn>, Time<dyn>, Cols> x,
               Tensor<const E, Vocab<V>, Cols> w, In<E, Vocab<V>> b, TokenIds targets, double scale) {
  detail::for_logits<detail::Gradient::no, E, V, Cols>(ctx, loss, losses.data(), logits, x, w, b, targets, scale,
                                                       [](std::int64_t, std::int64_t, E*, auto) {});
}

/// Bytes of scratch that loss_head_gradient takes with `rows` rows of logits.
constexpr std::int64_t loss_scratch(std::int64_t rows, int vocab) { return column_sums_scratch(rows, vocab); }

template <class E, int V, class Cols>
void loss_head_gradient(Context<E>& ctx, float* loss, Out<float, Batch<dyn>, Time<dyn>> losses,
                        Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<float, Vocab<V>, Cols> d_w,
                        Out<float, Vocab<V>> d_b, Out<E, Time<dyn>, Vocab<V>> logits,
                        In<E, Batch<dyn>, Time<dyn>, Cols> x, In<E, Vocab<V>, Cols> w, In<E, Vocab<V>> b,
                        TokenIds targets, double scale) {
  detail::for_logits<detail::Gradient::yes, E, V, Cols>(
      ctx, loss, losses.data(), logits, x, w, b, targets, scale,
      [&](std::int64_t first, std::int64_t rows, E* dz, auto stride) {
        matmul(ctx, rows, Cols::value, V, as_stored(dz, stride), as_stored(w.data(), Cols::value),
               d_x.data() + first * Cols::value, Cols::value);
        matmul(ctx, V, Cols::value, rows, transposed(dz, stride),
               as_stored(x.data() + first * Cols::value, Cols::value), d_w.data(), Cols::value, Accumulate::yes);
        if (d_b) add_column_sums<stride>(ctx, d_b.data(), dz, rows, V);
      });
}

}  // namespace tinygpt::gpu

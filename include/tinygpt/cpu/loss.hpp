// The output projection with softmax cross-entropy. Twin of reference/loss.hpp.
// Logits exist for one chunk of rows at a time; each row is read twice and becomes its own gradient in place.
#pragma once

#include <cmath>

#include <tinygpt/cpu/linear.hpp>
#include <tinygpt/cpu/math.hpp>

namespace tinygpt::cpu {

namespace detail {

/// log sum exp over a row of V floats, and the maximum it was taken from.
template <int V> float log_sum_exp(const float* z) {
  Floats top = broadcast(-INFINITY);
  along(V, [&](Lanes lanes) {
    top = max(lanes.whole() ? lanes.load(z) : select(iota() < broadcast(lanes.count), lanes.load(z), top), top);
  });
  const Floats shift = broadcast(max(top));
  Floats total = {};
  along(V, [&](Lanes lanes) { total += lanes.keep(exp(lanes.load(z) - shift)); });
  return shift[0] + std::log(sum(total));
}

/// The rows of logits of one chunk, and f(row of the chunk, its logits, its log-sum-exp) for each.
template <int V, class Cols, class F>
void for_logits(Context& ctx, float* logits, const float* x, std::int64_t rows, const float* w, const float* b, F&& f) {
  gemm(ctx, rows, V, Cols::value, as_stored(x, Cols::value), transposed(w, Cols::value), logits, V);
  for_row_parts(ctx, rows, [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      float* z = logits + i * V;
      if (b != nullptr) along(V, [&](Lanes lanes) { lanes.store(z, lanes.load(z) + lanes.load(b)); });
      f(i, z, log_sum_exp<V>(z));
    }
  });
}

inline void add_losses(float* loss, const float* losses, std::int64_t n, double scale) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(losses[i]);
  *loss += static_cast<float>(sum * scale);
}

}  // namespace detail

template <int V, class Cols>
void loss_head(Context& ctx, float* loss, Out<float, Batch<dyn>, Time<dyn>> losses,
               Out<float, Time<dyn>, Vocab<V>> logits, In<float, Batch<dyn>, Time<dyn>, Cols> x,
               Tensor<const float, Vocab<V>, Cols> w, In<float, Vocab<V>> b, TokenIds targets, double scale) {
  for (std::int64_t first = 0; first < x.rows(); first += logits.rows()) {
    const std::int64_t n = std::min(logits.rows(), x.rows() - first);
    detail::for_logits<V, Cols>(ctx, logits.data(), x.data() + first * Cols::value, n, w.data(), b.data(),
                             [&](std::int64_t i, const float* z, float lse) {
                               const std::int32_t target = targets.data()[first + i];
                               losses.data()[first + i] = target == ignored_target ? 0.0f : lse - z[target];
                             });
  }
  detail::add_losses(loss, losses.data(), x.rows(), scale);
}

template <int V, class Cols>
void loss_head_gradient(Context& ctx, float* loss, Out<float, Batch<dyn>, Time<dyn>> losses,
                        Out<float, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<float, Vocab<V>, Cols> d_w,
                        Out<float, Vocab<V>> d_b, Out<float, Time<dyn>, Vocab<V>> logits,
                        In<float, Batch<dyn>, Time<dyn>, Cols> x, In<float, Vocab<V>, Cols> w, In<float, Vocab<V>> b,
                        TokenIds targets, double scale) {
  for (std::int64_t first = 0; first < x.rows(); first += logits.rows()) {
    const std::int64_t n = std::min(logits.rows(), x.rows() - first);
    const float* chunk = x.data() + first * Cols::value;
    detail::for_logits<V, Cols>(
        ctx, logits.data(), chunk, n, w.data(), b.data(), [&](std::int64_t i, float* z, float lse) {
          const std::int32_t target = targets.data()[first + i];
          const bool counts = target != ignored_target;
          losses.data()[first + i] = counts ? lse - z[target] : 0.0f;
          const Floats weight = broadcast(counts ? static_cast<float>(scale) : 0.0f);
          along(V, [&](Lanes lanes) { lanes.store(z, exp(lanes.load(z) - broadcast(lse)) * weight); });
          if (counts) z[target] -= static_cast<float>(scale);
        });
    gemm(ctx, n, Cols::value, V, as_stored(logits.data(), V), as_stored(w.data(), Cols::value), d_x.data() + first * Cols::value,
         Cols::value);
    gemm(ctx, V, Cols::value, n, transposed(logits.data(), V), as_stored(chunk, Cols::value), d_w.data(), Cols::value,
         Accumulate::yes);
    if (d_b) add_column_sums(ctx, d_b.data(), logits.data(), n, V);
  }
  detail::add_losses(loss, losses.data(), x.rows(), scale);
}

}  // namespace tinygpt::cpu

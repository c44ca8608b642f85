// The output projection with softmax cross-entropy. Twin of reference/loss.hpp.
// Logits exist for one chunk of rows at a time; each row is read twice and becomes its own gradient in place.
#pragma once

#include <cmath>

#include <tinygpt/cpu/linear.hpp>
#include <tinygpt/cpu/math.hpp>

namespace tinygpt::cpu {

namespace detail {

/// log sum exp over a row of V numbers.
template <int V, class E> float log_sum_exp(const E* z) {
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
template <int V, class Cols, class E, class F>
void for_logits(Workers& ctx, E* logits, const E* x, std::int64_t rows, const E* w, const E* b, F&& f) {
  gemm(ctx, rows, V, Cols::value, as_stored(x, Cols::value), transposed(w, Cols::value), logits, V);
  for_row_parts(ctx, rows, [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      E* z = logits + i * V;
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

template <class E, int V, class Cols>
void loss_head(BasicContext<E>& ctx, float* loss, Out<float, Batch<dyn>, Time<dyn>> losses,
               Out<E, Time<dyn>, Vocab<V>> logits, In<E, Batch<dyn>, Time<dyn>, Cols> x,
               Tensor<const E, Vocab<V>, Cols> w, In<E, Vocab<V>> b, TokenIds targets, double scale) {
  for (std::int64_t first = 0; first < x.rows(); first += logits.rows()) {
    const std::int64_t n = std::min(logits.rows(), x.rows() - first);
    detail::for_logits<V, Cols>(ctx, logits.data(), x.data() + first * Cols::value, n, w.data(), b.data(),
                             [&](std::int64_t i, const E* z, float lse) {
                               const std::int32_t target = targets.data()[first + i];
                               losses.data()[first + i] = target == ignored_target ? 0.0f : lse - static_cast<float>(z[target]);
                             });
  }
  detail::add_losses(loss, losses.data(), x.rows(), scale);
}

template <class E, int V, class Cols>
void loss_head_gradient(BasicContext<E>& ctx, float* loss, Out<float, Batch<dyn>, Time<dyn>> losses,
                        Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<float, Vocab<V>, Cols> d_w,
                        Out<float, Vocab<V>> d_b, Out<E, Time<dyn>, Vocab<V>> logits,
                        In<E, Batch<dyn>, Time<dyn>, Cols> x, In<E, Vocab<V>, Cols> w, In<E, Vocab<V>> b,
                        TokenIds targets, double scale) {
  for (std::int64_t first = 0; first < x.rows(); first += logits.rows()) {
    const std::int64_t n = std::min(logits.rows(), x.rows() - first);
    const E* chunk = x.data() + first * Cols::value;
    detail::for_logits<V, Cols>(
        ctx, logits.data(), chunk, n, w.data(), b.data(), [&](std::int64_t i, E* z, float lse) {
          const std::int32_t target = targets.data()[first + i];
          const bool counts = target != ignored_target;
          const float of_target = counts ? static_cast<float>(z[target]) : lse;
          losses.data()[first + i] = lse - of_target;
          const Floats weight = broadcast(counts ? static_cast<float>(scale) : 0.0f);
          along(V, [&](Lanes lanes) { lanes.store(z, exp(lanes.load(z) - broadcast(lse)) * weight); });
          // From the logit again, as p - 1 has fewer digits when p has been rounded.
          if (counts) {
            const float p = exp(broadcast(of_target - lse))[0];
            z[target] = static_cast<E>(p * weight[0] - static_cast<float>(scale));
          }
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

// The output projection with softmax cross-entropy.
#pragma once

#include <cmath>

#include <tinygpt/reference/linear.hpp>

namespace tinygpt::reference {

/// losses_i = logsumexp_v(z_iv) - z_i,target with z = x w^T + b; 0 where the target is ignored. loss += scale * sum_i.
/// `logits` is scratch of any number of rows; rows are worked through in chunks of that many.
template <class E, int V, class Cols>
void loss_head(Context<E>&, E* loss, Out<E, Batch<dyn>, Time<dyn>> losses, Out<E, Time<dyn>, Vocab<V>> logits,
               In<E, Batch<dyn>, Time<dyn>, Cols> x, Tensor<const E, Vocab<V>, Cols> w, In<E, Vocab<V>> b,
               TokenIds targets, double scale) {
  using std::exp;
  using std::log;
  const std::int64_t chunk = logits.rows();
  E sum(0);
  for (std::int64_t first = 0; first < x.rows(); first += chunk) {
    const std::int64_t n = std::min(chunk, x.rows() - first);
    auto Z = matrix(logits).topRows(n);
    Z.noalias() = matrix(x).middleRows(first, n) * matrix(w).transpose();
    if (b) Z.rowwise() += row(b).row(0);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int32_t target = targets.data()[first + i];
      E top = Z(i, 0);
      for (int v = 1; v < V; ++v) top = Z(i, v) > top ? Z(i, v) : top;
      E total(0);
      for (int v = 0; v < V; ++v) total += exp(Z(i, v) - top);
      const E l = target == ignored_target ? E(0) : E(top + log(total) - Z(i, target));
      losses.data()[first + i] = l;
      sum += l;
    }
  }
  *loss += sum * E(scale);
}

/// The same, and d_x =, d_w +=, d_b +=: the gradient of scale * sum of losses; dz = scale * (softmax(z) - onehot).
template <class E, int V, class Cols>
void loss_head_gradient(Context<E>& ctx, E* loss, Out<E, Batch<dyn>, Time<dyn>> losses,
                        Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<E, Vocab<V>, Cols> d_w, Out<E, Vocab<V>> d_b,
                        Out<E, Time<dyn>, Vocab<V>> logits, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                        In<E, Vocab<V>, Cols> w, In<E, Vocab<V>> b, TokenIds targets, double scale) {
  using std::exp;
  loss_head(ctx, loss, losses, logits, x, Tensor<const E, Vocab<V>, Cols>(w), b, targets, scale);
  Matrix<E> Z = matrix(x) * matrix(w).transpose();
  if (b) Z.rowwise() += row(b).row(0);
  for (std::int64_t i = 0; i < Z.rows(); ++i) {
    const std::int32_t target = targets.data()[i];
    if (target == ignored_target) {
      Z.row(i).setZero();
      continue;
    }
    const E lse = losses.data()[i] + Z(i, target);
    for (int v = 0; v < V; ++v) Z(i, v) = E(scale) * (exp(Z(i, v) - lse) - E(v == target ? 1 : 0));
  }
  matrix(d_x).noalias() = Z * matrix(w);
  matrix(d_w).noalias() += Z.transpose() * matrix(x);
  if (d_b) row(d_b) += Z.colwise().sum();
}

}  // namespace tinygpt::reference

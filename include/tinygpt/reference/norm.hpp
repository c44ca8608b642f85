// LayerNorm and RMSNorm, alone and joined with the residual addition before them.
#pragma once

#include <cmath>

#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// Normalisation over the embedding axis, forward.
///
///   layer:  y = w * (x - mu) * r + b,   mu = mean_c x,   r = 1 / sqrt(mean_c (x - mu)^2 + eps)
///   rms:    y = w * x * r,              r = 1 / sqrt(mean_c x^2 + eps)
///
/// Writes y (B, T, C), mean and rstd (B, T); they are saved for the backward pass (mean only for LayerNorm).
/// Sources: Ba, Kiros, Hinton 2016 (arXiv:1607.06450) eq. 3; Zhang and Sennrich 2019 (arXiv:1910.07467) eq. 4.
template <NormKind K, class E, int C>
void norm(Context<E>&, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> y, Out<E, Batch<dyn>, Time<dyn>> mean,
          Out<E, Batch<dyn>, Time<dyn>> rstd, In<E, Batch<dyn>, Time<dyn>, Embd<C>> x, In<E, Embd<C>> weight,
          In<E, Embd<C>> bias, double eps) {
  static_assert(K == layer || K == rms,
                "tinygpt: reference::norm knows layer and rms: write what this NormKind computes");
  using std::sqrt;
  const auto X = matrix(x);
  auto Y = matrix(y);
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    const E mu = K == layer ? E(X.row(i).mean()) : E(0);
    const Matrix<E> centred = X.row(i).array() - mu;
    const E r = E(1) / sqrt(centred.squaredNorm() / E(C) + E(eps));
    Y.row(i) = (centred.array() * r * row(weight).array()).matrix();
    if constexpr (K == layer) {
      if (bias) Y.row(i) += row(bias);
      mean.data()[i] = mu;
    }
    rstd.data()[i] = r;
  }
}

/// residual_out = residual_in + dropout(branch); normed = norm(residual_out).
template <NormKind K, class E, int C>
void residual_norm(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> normed,
                   Out<E, Batch<dyn>, Time<dyn>, Embd<C>> residual_out, Out<E, Batch<dyn>, Time<dyn>> mean,
                   Out<E, Batch<dyn>, Time<dyn>> rstd, In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual_in,
                   In<E, Batch<dyn>, Time<dyn>, Embd<C>> branch, In<E, Embd<C>> weight, In<E, Embd<C>> bias,
                   Dropout dropout, double eps) {
  const int T = branch.template extent<Time>();
  for (std::int64_t i = 0; i < branch.rows(); ++i) {
    for (int c = 0; c < C; ++c) {
      residual_out.data()[i * C + c] = residual_in.data()[i * C + c] +
                                       branch.data()[i * C + c] * mask<E>(dropout, i / T * dropout.ctx + i % T, c, C);
    }
  }
  norm<K>(ctx, normed, mean, rstd, residual_out, weight, bias, eps);
}

/// d_residual += norm'(d_normed); d_weight, d_bias +=; d_branch = dropout(d_residual), where it is not null.
///
///   d_x = r * (g - mean_c g - x_hat * mean_c (g * x_hat)),   g = w * d_y,   x_hat = (x - mu) * r
///
/// For RMSNorm mu = 0 and the term mean_c g is absent.
template <NormKind K, class E, int C>
void residual_norm_backward(Context<E>&, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> d_residual,
                            Out<E, Batch<dyn>, Time<dyn>, Embd<C>> d_branch, Out<E, Embd<C>> d_weight,
                            Out<E, Embd<C>> d_bias, In<E, Batch<dyn>, Time<dyn>, Embd<C>> d_normed,
                            In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, In<E, Batch<dyn>, Time<dyn>> mean,
                            In<E, Batch<dyn>, Time<dyn>> rstd, In<E, Embd<C>> weight, Dropout dropout) {
  static_assert(K == layer || K == rms,
                "tinygpt: reference::residual_norm_backward knows layer and rms: write what this NormKind computes");
  const int T = d_residual.template extent<Time>();
  const auto X = matrix(residual);
  const auto dY = matrix(d_normed);
  auto dX = matrix(d_residual);
  for (std::int64_t i = 0; i < X.rows(); ++i) {
    const E r = rstd.data()[i];
    const E mu = K == layer ? E(mean.data()[i]) : E(0);
    const Matrix<E> x_hat = (X.row(i).array() - mu) * r;
    const Matrix<E> g = dY.row(i).array() * row(weight).array();
    const E mean_g = K == layer ? E(g.mean()) : E(0);
    const E mean_gx = g.cwiseProduct(x_hat).mean();
    dX.row(i) += ((g.array() - mean_g - x_hat.array() * mean_gx) * r).matrix();
    row(d_weight) += dY.row(i).cwiseProduct(x_hat);
    if (d_bias) row(d_bias) += dY.row(i);
    if (d_branch) {
      for (int c = 0; c < C; ++c) {
        d_branch.data()[i * C + c] = d_residual.data()[i * C + c] * mask<E>(dropout, i / T * dropout.ctx + i % T, c, C);
      }
    }
  }
}

}  // namespace tinygpt::reference

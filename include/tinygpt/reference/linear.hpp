// Linear layers, alone and with the feed-forward network's nonlinearity.
#pragma once

#include <tinygpt/reference/activation.hpp>
#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// y = x w^T + b over the last axis: x (B, T, Cols), w (Rows, Cols), b (Rows), y (B, T, Rows).
template <class E, class Rows, class Cols>
void linear(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, Rows> y, In<E, Batch<dyn>, Time<dyn>, Cols> x,
            Tensor<const E, Rows, Cols> w, In<E, Rows> b) {
  matrix(y).noalias() = matrix(x) * matrix(w).transpose();
  if (b) matrix(y).rowwise() += row(b).row(0);
}

/// d_x = d_y w;  d_w += d_y^T x;  d_b += sum of the rows of d_y.
template <class E, class Rows, class Cols>
void linear_backward(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<E, Rows, Cols> d_w, Out<E, Rows> d_b,
                     In<E, Batch<dyn>, Time<dyn>, Rows> d_y, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                     In<E, Rows, Cols> w) {
  matrix(d_x).noalias() = matrix(d_y) * matrix(w);
  matrix(d_w).noalias() += matrix(d_y).transpose() * matrix(x);
  if (d_b) row(d_b) += matrix(d_y).colwise().sum();
}

/// pre = x w^T + b;  hidden = act(pre), where act is K; for swiglu hidden = silu(gate) * up, pre = [gate | up].
template <class E, int F, ActivationKind K, class Cols>
void linear_activation(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                       Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                       Tensor<const E, FfnIn<F, K>, Cols> w, In<E, FfnIn<F, K>> b) {
  linear(ctx, pre, x, w, b);
  activation(ctx, hidden, read(pre));
}

/// The gradients of linear_activation. d_pre may be the memory of pre, which is then lost.
template <class E, int F, ActivationKind K, class Cols>
void linear_activation_backward(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x,
                                Tensor<E, FfnIn<F, K>, Cols> d_w, Out<E, FfnIn<F, K>> d_b,
                                Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                                In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden,
                                In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                                In<E, FfnIn<F, K>, Cols> w) {
  activation_backward(ctx, d_pre, d_hidden, pre);
  linear_backward(ctx, d_x, d_w, d_b, d_pre, x, w);
}

}  // namespace tinygpt::reference

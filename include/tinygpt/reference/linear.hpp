// Linear layers, alone and with the feed-forward network's nonlinearity.
#pragma once

#include <tinygpt/reference/activation.hpp>
#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// y = x w^T + b over the last axis: x (B, T, I), w (O, I), b (O), y (B, T, O).
template <class E, class O, class I>
void linear(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, O> y, In<E, Batch<dyn>, Time<dyn>, I> x, Tensor<const E, O, I> w,
            In<E, O> b) {
  matrix(y).noalias() = matrix(x) * matrix(w).transpose();
  if (b) matrix(y).rowwise() += row(b).row(0);
}

/// d_x = d_y w;  d_w += d_y^T x;  d_b += sum of the rows of d_y.
template <class E, class O, class I>
void linear_backward(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, I> d_x, Tensor<E, O, I> d_w, Out<E, O> d_b,
                     In<E, Batch<dyn>, Time<dyn>, O> d_y, In<E, Batch<dyn>, Time<dyn>, I> x, In<E, O, I> w) {
  matrix(d_x).noalias() = matrix(d_y) * matrix(w);
  matrix(d_w).noalias() += matrix(d_y).transpose() * matrix(x);
  if (d_b) row(d_b) += matrix(d_y).colwise().sum();
}

/// pre = x w^T + b;  hidden = act(pre), where act is K; for swiglu hidden = silu(gate) * up, pre = [gate | up].
template <class E, int F, ActivationKind K, class I>
void linear_activation(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                       Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<E, Batch<dyn>, Time<dyn>, I> x,
                       Tensor<const E, FfnIn<F, K>, I> w, In<E, FfnIn<F, K>> b) {
  linear(ctx, pre, x, w, b);
  activation(ctx, hidden, pre);
}

/// The gradients of linear_activation. d_pre may be the memory of pre, which is then lost.
template <class E, int F, ActivationKind K, class I>
void linear_activation_backward(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, I> d_x, Tensor<E, FfnIn<F, K>, I> d_w,
                                Out<E, FfnIn<F, K>> d_b, Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                                In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden,
                                In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<E, Batch<dyn>, Time<dyn>, I> x,
                                In<E, FfnIn<F, K>, I> w) {
  activation_backward(ctx, d_pre, d_hidden, pre);
  linear_backward(ctx, d_x, d_w, d_b, d_pre, x, w);
}

}  // namespace tinygpt::reference

// Linear layers, alone and with the feed-forward network's nonlinearity. Twin of reference/linear.hpp.
// The bias is the product's epilogue; the nonlinearity is a pass of its own, so that activation() can repeat it bit for
// bit (see gpu/matmul.cuh); gradients of weights are products of E that add to float.
#pragma once

#include <tinygpt/gpu/activation.cuh>
#include <tinygpt/gpu/column_sums.cuh>
#include <tinygpt/gpu/matmul.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

template <class E, class Rows, class Cols>
void linear(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Rows> y, In<E, Batch<dyn>, Time<dyn>, Cols> x,
            Tensor<const E, Rows, Cols> w, In<E, Rows> b) {
  matmul(ctx, x.rows(), Rows::value, Cols::value, as_stored(x.data(), Cols::value), transposed(w.data(), Cols::value),
         y.data(), Rows::value, Accumulate::no, b.data());
}

/// Bytes of scratch that the backward pass of a layer of so many outputs takes.
constexpr std::int64_t linear_scratch(std::int64_t tokens, int outputs) { return column_sums_scratch(tokens, outputs); }

template <class E, class Rows, class Cols>
void linear_backward(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<float, Rows, Cols> d_w,
                     Out<float, Rows> d_b, In<E, Batch<dyn>, Time<dyn>, Rows> d_y, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                     In<E, Rows, Cols> w) {
  matmul(ctx, x.rows(), Cols::value, Rows::value, as_stored(d_y.data(), Rows::value), as_stored(w.data(), Cols::value),
         d_x.data(), Cols::value);
  matmul(ctx, Rows::value, Cols::value, x.rows(), transposed(d_y.data(), Rows::value), as_stored(x.data(), Cols::value),
         d_w.data(), Cols::value, Accumulate::yes);
  if (d_b) add_column_sums<Rows::value>(ctx, d_b.data(), d_y.data(), x.rows(), Rows::value);
}

template <class E, int F, ActivationKind K, class Cols>
void linear_activation(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                       Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                       Tensor<const E, FfnIn<F, K>, Cols> w, In<E, FfnIn<F, K>> b) {
  linear(ctx, pre, x, w, b);
  activation(ctx, hidden, read(pre));
}

template <class E, int F, ActivationKind K, class Cols>
void linear_activation_backward(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x,
                                Tensor<float, FfnIn<F, K>, Cols> d_w, Out<float, FfnIn<F, K>> d_b,
                                Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                                In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden,
                                In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                                In<E, FfnIn<F, K>, Cols> w) {
  activation_backward<E, F, K>(ctx, d_pre, d_hidden, pre);
  linear_backward(ctx, d_x, d_w, d_b, read(d_pre), x, w);
}

}  // namespace tinygpt::gpu

// The joined query, key and value projection, with QK-norm and RoPE. Twin of reference/qkv.hpp.
// The projection is a matrix product; with QK-norm it goes to `raw`, which is kept, and the rows' kernel reads it
// there.
#pragma once

#include <tinygpt/gpu/linear.cuh>
#include <tinygpt/gpu/qkv_rows.cuh>

namespace tinygpt::gpu {

template <class E, int Q, int KV, int D, class Cols, int N>
void qkv(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> y,
         Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw, Out<float, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd,
         In<E, Batch<dyn>, Time<dyn>, Cols> x, Tensor<const E, Qkv<Q, KV, D>, Cols> w, In<E, Qkv<Q, KV, D>> b,
         In<E, HeadDim<D>> q_norm, In<E, HeadDim<D>> k_norm, Tensor<const float, Ctx<N>, HeadDim<D>> rope_table,
         FirstPosition first_position, double eps) {
  linear(ctx, raw ? raw : y, x, w, b);
  qkv_rows(ctx, y, raw, rstd, q_norm, k_norm, rope_table, first_position, eps);
}

template <class E, int Q, int KV, int D, class Cols, int N>
void qkv_backward(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<float, Qkv<Q, KV, D>, Cols> d_w,
                  Out<float, Qkv<Q, KV, D>> d_b, Out<float, HeadDim<D>> d_q_norm, Out<float, HeadDim<D>> d_k_norm,
                  Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                  In<E, Qkv<Q, KV, D>, Cols> w, In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw,
                  In<float, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd, In<E, HeadDim<D>> q_norm,
                  In<E, HeadDim<D>> k_norm, Tensor<const float, Ctx<N>, HeadDim<D>> rope_table) {
  qkv_rows_backward(ctx, d_q_norm, d_k_norm, d_qkv, raw, rstd, q_norm, k_norm, rope_table);
  linear_backward(ctx, d_x, d_w, d_b, d_qkv, x, w);
}

}  // namespace tinygpt::gpu

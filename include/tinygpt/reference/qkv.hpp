// The joined query, key and value projection, with QK-norm and RoPE.
#pragma once

#include <cmath>

#include <tinygpt/reference/linear.hpp>

namespace tinygpt::reference {

/// Rotates the pairs (x_i, x_{i + D/2}) of a head by the angles of a position; backwards for direction = -1.
/// The half-split pairing is GPT-NeoX's and Llama's in transformers.
template <class E> void rotate(E* x, const E* rope_of_position, int D, int direction) {
  for (int i = 0; i < D / 2; ++i) {
    const E c = rope_of_position[i], s = E(direction) * rope_of_position[D / 2 + i];
    const E a = x[i], b = x[D / 2 + i];
    x[i] = a * c - b * s;
    x[D / 2 + i] = b * c + a * s;
  }
}

/// [q | k | v] = x w^T + b; each query and key head is then normalised (RMSNorm with weight q_norm or k_norm (D) and
/// eps) and rotated, where the architecture has these. raw (as qkv) and rstd (B, T, Hq + Hkv) are saved with QK-norm
/// only.
template <class E, int Q, int KV, int D, class Cols, int N>
void qkv(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> y,
         Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw, Out<E, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd,
         In<E, Batch<dyn>, Time<dyn>, Cols> x, Tensor<const E, Qkv<Q, KV, D>, Cols> w, In<E, Qkv<Q, KV, D>> b,
         In<E, HeadDim<D>> q_norm, In<E, HeadDim<D>> k_norm, Tensor<const E, Ctx<N>, HeadDim<D>> rope,
         FirstPosition first_position, double eps) {
  using std::sqrt;
  linear(ctx, y, x, w, b);
  if (raw) matrix(raw) = matrix(y);
  const int T = x.template extent<Time>();
  for (std::int64_t i = 0; i < y.rows(); ++i) {
    for (int h = 0; h < Q + KV; ++h) {
      E* head = y.data() + i * y.width() + std::int64_t{h} * D;
      if (raw) {
        const E* weight = (h < Q ? q_norm : k_norm).data();
        E sum(0);
        for (int d = 0; d < D; ++d) sum += head[d] * head[d];
        const E r = E(1) / sqrt(sum / E(D) + E(eps));
        rstd.data()[i * (Q + KV) + h] = r;
        for (int d = 0; d < D; ++d) head[d] = head[d] * r * weight[d];
      }
      if (rope) rotate(head, rope.data() + (first_position(i / T) + i % T) * D, D, 1);
    }
  }
}

/// d_qkv becomes the gradient of the projection in place; then as linear_backward. Positions begin at 0.
template <class E, int Q, int KV, int D, class Cols, int N>
void qkv_backward(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<E, Qkv<Q, KV, D>, Cols> d_w,
                  Out<E, Qkv<Q, KV, D>> d_b, Out<E, HeadDim<D>> d_q_norm, Out<E, HeadDim<D>> d_k_norm,
                  Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                  In<E, Qkv<Q, KV, D>, Cols> w, In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw,
                  In<E, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd, In<E, HeadDim<D>> q_norm,
                  In<E, HeadDim<D>> k_norm, Tensor<const E, Ctx<N>, HeadDim<D>> rope) {
  const int T = x.template extent<Time>();
  for (std::int64_t i = 0; i < d_qkv.rows(); ++i) {
    for (int h = 0; h < Q + KV; ++h) {
      E* head = d_qkv.data() + i * d_qkv.width() + std::int64_t{h} * D;
      if (rope) rotate(head, rope.data() + i % T * D, D, -1);
      if (raw) {
        const E* in = raw.data() + i * raw.width() + std::int64_t{h} * D;
        const E* weight = (h < Q ? q_norm : k_norm).data();
        E* d_weight = (h < Q ? d_q_norm : d_k_norm).data();
        const E r = rstd.data()[i * (Q + KV) + h];
        E mean_gx(0);
        for (int d = 0; d < D; ++d) mean_gx += head[d] * weight[d] * in[d] * r / E(D);
        for (int d = 0; d < D; ++d) {
          const E x_hat = in[d] * r, dy = head[d];
          d_weight[d] += dy * x_hat;
          head[d] = r * (dy * weight[d] - x_hat * mean_gx);
        }
      }
    }
  }
  linear_backward(ctx, d_x, d_w, d_b, d_qkv, x, w);
}

}  // namespace tinygpt::reference

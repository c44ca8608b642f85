// The joined query, key and value projection, with QK-norm and RoPE. Twin of reference/qkv.hpp.
#pragma once

#include <cmath>

#include <tinygpt/cpu/linear.hpp>

namespace tinygpt::cpu {

namespace detail {

/// Rotates the pairs (x_i, x_{i + D/2}) by the angles of a position; backwards for direction = -1.
template <int D> void rotate(float* x, const float* angles, float direction) {
  along(D / 2, [&](Lanes lanes) {
    const Floats c = lanes.load(angles), s = lanes.load(angles + D / 2) * broadcast(direction);
    const Floats a = lanes.load(x), b = lanes.load(x + D / 2);
    lanes.store(x, a * c - b * s);
    lanes.store(x + D / 2, b * c + a * s);
  });
}

}  // namespace detail

template <class E, int Q, int KV, int D, class Cols, int N>
void qkv(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> y,
         Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw, Out<float, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd,
         In<E, Batch<dyn>, Time<dyn>, Cols> x, Tensor<const E, Qkv<Q, KV, D>, Cols> w, In<E, Qkv<Q, KV, D>> b,
         In<E, HeadDim<D>> q_norm, In<E, HeadDim<D>> k_norm, Tensor<const float, Ctx<N>, HeadDim<D>> rope_table,
         FirstPosition first_position, double eps) {
  linear(ctx, y, x, w, b);
  if (!raw && !rope_table) return;
  const int T = x.template extent<Time>();
  constexpr std::int64_t width = Qkv<Q, KV, D>::value;
  constexpr std::int64_t padded = (D + vector_width - 1) / vector_width * vector_width;
  for_row_parts(ctx, y.rows(), [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      E* token = y.data() + i * width;
      if (raw) std::copy_n(token, width, raw.data() + i * width);
      for (int h = 0; h < Q + KV; ++h) {
        E* const in_place = token + std::int64_t{h} * D;
        float head[padded];
        along(D, [&](Lanes lanes) { lanes.store(head, lanes.load(in_place)); });
        if (raw) {
          const E* weight = (h < Q ? q_norm : k_norm).data();
          Floats squares = {};
          along(D, [&](Lanes lanes) { squares += lanes.load(head) * lanes.load(head); });
          const float r = 1.0f / std::sqrt(sum(squares) / D + static_cast<float>(eps));
          rstd.data()[i * (Q + KV) + h] = r;
          along(D, [&](Lanes lanes) { lanes.store(head, lanes.load(head) * broadcast(r) * lanes.load(weight)); });
        }
        if (rope_table) detail::rotate<D>(head, rope_table.data() + (first_position(i / T) + i % T) * D, 1.0f);
        along(D, [&](Lanes lanes) { lanes.store(in_place, lanes.load(head)); });
      }
    }
  });
}

template <class E, int Q, int KV, int D, class Cols, int N>
void qkv_backward(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<float, Qkv<Q, KV, D>, Cols> d_w,
                  Out<float, Qkv<Q, KV, D>> d_b, Out<float, HeadDim<D>> d_q_norm, Out<float, HeadDim<D>> d_k_norm,
                  Out<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                  In<E, Qkv<Q, KV, D>, Cols> w, In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> raw,
                  In<float, Batch<dyn>, Time<dyn>, PerHead<Q + KV>> rstd, In<E, HeadDim<D>> q_norm,
                  In<E, HeadDim<D>> k_norm, Tensor<const float, Ctx<N>, HeadDim<D>> rope_table) {
  constexpr std::int64_t width = Qkv<Q, KV, D>::value;
  constexpr std::int64_t padded = (D + vector_width - 1) / vector_width * vector_width;
  const int T = x.template extent<Time>();
  if (raw || rope_table) {
    float* const partial = ctx.shared_scratch(norm_backward_scratch(D));  // per part: d_q_norm, then d_k_norm
    for_row_parts(ctx, d_qkv.rows(), [&](int part, std::int64_t first, std::int64_t last) {
      float* const weights_part = partial + part * 2 * padded;
      std::fill_n(weights_part, 2 * padded, 0.0f);
      for (std::int64_t i = first; i < last; ++i) {
        for (int h = 0; h < Q + KV; ++h) {
          E* const in_place = d_qkv.data() + i * width + std::int64_t{h} * D;
          float head[padded];
          along(D, [&](Lanes lanes) { lanes.store(head, lanes.load(in_place)); });
          if (rope_table) detail::rotate<D>(head, rope_table.data() + i % T * D, -1.0f);
          if (!raw) {
            along(D, [&](Lanes lanes) { lanes.store(in_place, lanes.load(head)); });
            continue;
          }
          const E* in = raw.data() + i * width + std::int64_t{h} * D;
          const E* weight = (h < Q ? q_norm : k_norm).data();
          float* d_weight = weights_part + (h < Q ? 0 : padded);
          const Floats r = broadcast(rstd.data()[i * (Q + KV) + h]);
          Floats sum_gx = {};
          along(D, [&](Lanes lanes) {
            const Floats x_hat = lanes.load(in) * r, dy = lanes.load(head);
            sum_gx += dy * lanes.load(weight) * x_hat;
            store(d_weight + lanes.at, load(d_weight + lanes.at) + dy * x_hat);
          });
          const Floats mean_gx = broadcast(sum(sum_gx) / D);
          along(D, [&](Lanes lanes) {
            lanes.store(in_place, (lanes.load(head) * lanes.load(weight) - lanes.load(in) * r * mean_gx) * r);
          });
        }
      }
    });
    if (raw) {
      const std::int64_t step = rows_per_part(d_qkv.rows()), parts = (d_qkv.rows() + step - 1) / step;
      for (std::int64_t part = 0; part < parts; ++part) {
        along(D, [&](Lanes lanes) {
          const float* from = partial + part * 2 * padded;
          lanes.store(d_q_norm.data(), lanes.load(d_q_norm.data()) + lanes.load(from));
          lanes.store(d_k_norm.data(), lanes.load(d_k_norm.data()) + lanes.load(from + padded));
        });
      }
    }
  }
  linear_backward(ctx, d_x, d_w, d_b, read(d_qkv), x, w);
}

}  // namespace tinygpt::cpu

// LayerNorm and RMSNorm, joined with the residual addition before them. Twin of reference/norm.hpp.
// A row is read once from memory: what follows finds it in the first-level cache. Sums over rows are made in parts.
#pragma once

#include <cmath>

#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

namespace detail {

template <NormKind K, int C, class E>
void norm_row(E* y, float* mean, float* rstd, const E* x, const E* weight, const E* bias, float eps) {
  static_assert(K == layer || K == rms, "tinygpt: cpu::norm knows layer and rms: write what this NormKind computes");
  Floats sum_x = {};
  if constexpr (K == layer) along(C, [&](Lanes lanes) { sum_x += lanes.load(x); });
  const float mu = sum(sum_x) / C;
  Floats squares = {};
  along(C, [&](Lanes lanes) {
    const Floats d = lanes.keep(lanes.load(x) - broadcast(mu));
    squares += d * d;
  });
  const float r = 1.0f / std::sqrt(sum(squares) / C + eps);
  along(C, [&](Lanes lanes) {
    const Floats scaled = (lanes.load(x) - broadcast(mu)) * broadcast(r) * lanes.load(weight);
    lanes.store(y, bias != nullptr ? scaled + lanes.load(bias) : scaled);
  });
  if constexpr (K == layer) *mean = mu;
  *rstd = r;
}

}  // namespace detail

template <NormKind K, class E, int C>
void norm(BasicContext<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> normed,
          Out<float, Batch<dyn>, Time<dyn>> mean, Out<float, Batch<dyn>, Time<dyn>> rstd,
          In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, In<E, Embd<C>> weight, In<E, Embd<C>> bias, double eps) {
  for_row_parts(ctx, residual.rows(), [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      detail::norm_row<K, C>(normed.data() + i * C, mean.data() + i, rstd.data() + i, residual.data() + i * C,
                             weight.data(), bias.data(), static_cast<float>(eps));
    }
  });
}

template <NormKind K, class E, int C>
void residual_norm(BasicContext<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> normed,
                   Out<E, Batch<dyn>, Time<dyn>, Embd<C>> residual_out, Out<float, Batch<dyn>, Time<dyn>> mean,
                   Out<float, Batch<dyn>, Time<dyn>> rstd, In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual_in,
                   In<E, Batch<dyn>, Time<dyn>, Embd<C>> branch, In<E, Embd<C>> weight, In<E, Embd<C>> bias,
                   Dropout dropout, double eps) {
  const int T = branch.template extent<Time>();
  for_row_parts(ctx, branch.rows(), [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      E* x = residual_out.data() + i * C;
      along_mask(dropout, i / T * dropout.ctx + i % T, C, [&](Lanes lanes, Floats mask) {
        lanes.store(x, lanes.load(residual_in.data() + i * C) + lanes.load(branch.data() + i * C) * mask);
      });
      detail::norm_row<K, C>(normed.data() + i * C, mean.data() + i, rstd.data() + i, x, weight.data(), bias.data(),
                             static_cast<float>(eps));
    }
  });
}

template <NormKind K, class E, int C>
void residual_norm_backward(BasicContext<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> d_residual,
                            Out<E, Batch<dyn>, Time<dyn>, Embd<C>> d_branch, Out<float, Embd<C>> d_weight,
                            Out<float, Embd<C>> d_bias, In<E, Batch<dyn>, Time<dyn>, Embd<C>> d_normed,
                            In<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, In<float, Batch<dyn>, Time<dyn>> mean,
                            In<float, Batch<dyn>, Time<dyn>> rstd, In<E, Embd<C>> weight, Dropout dropout) {
  static_assert(K == layer || K == rms,
                "tinygpt: cpu::residual_norm_backward knows layer and rms: write what this NormKind computes");
  constexpr std::int64_t padded = (C + vector_width - 1) / vector_width * vector_width;
  const int T = d_residual.template extent<Time>();
  float* const partial = ctx.shared_scratch(norm_backward_scratch(C));  // per part: d_weight, then d_bias
  for_row_parts(ctx, residual.rows(), [&](int part, std::int64_t first, std::int64_t last) {
    float* const weight_part = partial + part * 2 * padded;
    float* const bias_part = weight_part + padded;
    std::fill_n(weight_part, 2 * padded, 0.0f);
    for (std::int64_t i = first; i < last; ++i) {
      const E* x = residual.data() + i * C;
      const E* dy = d_normed.data() + i * C;
      E* dx = d_residual.data() + i * C;
      const Floats mu = broadcast(K == layer ? mean.data()[i] : 0.0f), r = broadcast(rstd.data()[i]);
      Floats sum_g = {}, sum_gx = {};
      along(C, [&](Lanes lanes) {
        const Floats x_hat = (lanes.load(x) - mu) * r, dy_here = lanes.load(dy),
                     g = dy_here * lanes.load(weight.data());
        sum_g += g;
        sum_gx += g * x_hat;
        store(weight_part + lanes.at, load(weight_part + lanes.at) + dy_here * x_hat);
        store(bias_part + lanes.at, load(bias_part + lanes.at) + dy_here);
      });
      const Floats mean_g = broadcast(K == layer ? sum(sum_g) / C : 0.0f), mean_gx = broadcast(sum(sum_gx) / C);
      along(C, [&](Lanes lanes) {
        const Floats x_hat = (lanes.load(x) - mu) * r, g = lanes.load(dy) * lanes.load(weight.data());
        lanes.store(dx, lanes.load(dx) + (g - mean_g - x_hat * mean_gx) * r);
      });
      if (d_branch) {
        along_mask(dropout, i / T * dropout.ctx + i % T, C,
                   [&](Lanes lanes, Floats mask) { lanes.store(d_branch.data() + i * C, lanes.load(dx) * mask); });
      }
    }
  });
  const std::int64_t step = rows_per_part(residual.rows()), parts = (residual.rows() + step - 1) / step;
  for (std::int64_t part = 0; part < parts; ++part) {
    const float* weight_part = partial + part * 2 * padded;
    along(C, [&](Lanes lanes) {
      lanes.store(d_weight.data(), lanes.load(d_weight.data()) + lanes.load(weight_part));
      if (d_bias) lanes.store(d_bias.data(), lanes.load(d_bias.data()) + lanes.load(weight_part + padded));
    });
  }
}

}  // namespace tinygpt::cpu

// The nonlinearities of the feed-forward network on vectors. Twin of reference/activation.hpp.
#pragma once

#include <numbers>

#include <tinygpt/cpu/math.hpp>
#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

namespace detail {

inline constexpr float inv_sqrt_2pi = static_cast<float>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
inline constexpr float twice_sqrt_2_over_pi = static_cast<float>(2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
inline constexpr float cubic = 0.044715f;

/// The nonlinearity as x * weight(x): for tanh GELU, 1/2 (1 + tanh z) is the logistic function of 2 z.
template <ActivationKind K> TINYGPT_CPU_INLINE Floats act(Floats x) {
  if constexpr (K == relu) {
    return max(x, Floats{});
  } else if constexpr (K == gelu) {
    return x * normal(x).cdf;
  } else if constexpr (K == gelu_tanh) {
    return x * sigmoid(x * (twice_sqrt_2_over_pi * (1.0f + cubic * x * x)));
  } else {
    static_assert(has_branch<K>, "tinygpt: cpu::act has no branch for this ActivationKind: add its formula");
  }
}

template <ActivationKind K> TINYGPT_CPU_INLINE Floats act_derivative(Floats x) {
  if constexpr (K == relu) {
    return select(x > Floats{}, broadcast(1.0f), Floats{});
  } else if constexpr (K == gelu) {
    const auto [cdf, bell] = normal(x);
    return cdf + x * bell * inv_sqrt_2pi;
  } else if constexpr (K == gelu_tanh) {
    const Floats s = sigmoid(x * (twice_sqrt_2_over_pi * (1.0f + cubic * x * x)));
    return s + x * s * (1.0f - s) * (twice_sqrt_2_over_pi * (1.0f + 3 * cubic * x * x));
  } else {
    static_assert(has_branch<K>, "tinygpt: cpu::act_derivative has no branch for this ActivationKind: add its formula");
  }
}

}  // namespace detail

/// hidden = act(pre), or silu(gate) * up with pre = [gate | up].
template <class E, int F, ActivationKind K>
void activation(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                Tensor<const E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  for_row_parts(ctx, pre.rows(), [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const E* in = pre.data() + i * pre.width();
      along(F, [&](Lanes lanes) {
        const Floats x = lanes.load(in);
        if constexpr (K == swiglu) {
          lanes.store(hidden.data() + i * F, x * sigmoid(x) * lanes.load(in + F));
        } else {
          static_assert(!is_gated(K), "tinygpt: cpu::activation has no branch for this gated ActivationKind");
          lanes.store(hidden.data() + i * F, detail::act<K>(x));
        }
      });
    }
  });
}

/// d_pre = act'(pre) d_hidden. d_pre may be the memory of pre.
template <class E, int F, ActivationKind K>
void activation_backward(BasicContext<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                         In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden, In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  for_row_parts(ctx, pre.rows(), [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const E* in = pre.data() + i * pre.width();
      E* out = d_pre.data() + i * pre.width();
      along(F, [&](Lanes lanes) {
        const Floats g = lanes.load(d_hidden.data() + i * F);
        if constexpr (K == swiglu) {
          const Floats gate = lanes.load(in), up = lanes.load(in + F), s = sigmoid(gate);
          lanes.store(out, g * up * s * (1.0f + gate * (1.0f - s)));
          lanes.store(out + F, g * gate * s);
        } else {
          static_assert(!is_gated(K), "tinygpt: cpu::activation_backward has no branch for this gated ActivationKind");
          lanes.store(out, g * detail::act_derivative<K>(lanes.load(in)));
        }
      });
    }
  });
}

}  // namespace tinygpt::cpu

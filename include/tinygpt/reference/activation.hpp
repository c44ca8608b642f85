// The nonlinearities of the feed-forward network.
#pragma once

#include <cmath>
#include <numbers>

#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// relu(x) = max(x, 0)
/// gelu(x) = x Phi(x) = x (1 + erf(x / sqrt 2)) / 2                 Hendrycks and Gimpel 2016 (arXiv:1606.08415)
/// gelu_tanh(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2     the same, its approximation; used by GPT-2
template <ActivationKind K, class S> S act(const S& x) {
  using std::erf;
  using std::tanh;
  if constexpr (K == relu) {
    return x > S(0) ? x : S(0);
  } else if constexpr (K == gelu) {
    return S(0.5) * x * (S(1) + erf(x * S(std::numbers::sqrt2 / 2)));
  } else if constexpr (K == gelu_tanh) {
    const S inner = S(std::numbers::sqrt2 * std::numbers::inv_sqrtpi) * (x + S(0.044715) * x * x * x);
    return S(0.5) * x * (S(1) + tanh(inner));
  } else {
    static_assert(has_branch<K>, "tinygpt: reference::act has no branch for this ActivationKind: add its formula");
  }
}

template <ActivationKind K, class S> S act_derivative(const S& x) {
  using std::erf;
  using std::exp;
  using std::tanh;
  if constexpr (K == relu) {
    return x > S(0) ? S(1) : S(0);
  } else if constexpr (K == gelu) {
    const S density = exp(S(-0.5) * x * x) * S(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    return S(0.5) * (S(1) + erf(x * S(std::numbers::sqrt2 / 2))) + x * density;
  } else if constexpr (K == gelu_tanh) {
    const S a = S(std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
    const S t = tanh(a * (x + S(0.044715) * x * x * x));
    return S(0.5) * (S(1) + t) + S(0.5) * x * (S(1) - t * t) * a * (S(1) + S(3 * 0.044715) * x * x);
  } else {
    static_assert(has_branch<K>,
                  "tinygpt: reference::act_derivative has no branch for this ActivationKind: add its formula");
  }
}

template <class S> S sigmoid(const S& x) {
  using std::exp;
  return S(1) / (S(1) + exp(-x));
}

/// hidden = act(pre) element by element; for swiglu hidden = gate * sigmoid(gate) * up, where the first F columns of
/// pre are the gate and the others up. Source: Shazeer 2020 (arXiv:2002.05202) eq. 6.
template <class E, int F, ActivationKind K>
void activation(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                Tensor<const E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  for (std::int64_t i = 0; i < pre.rows(); ++i) {
    const E* in = pre.data() + i * pre.width();
    for (int f = 0; f < F; ++f) {
      if constexpr (K == swiglu) {
        hidden.data()[i * F + f] = in[f] * sigmoid(in[f]) * in[F + f];
      } else {
        static_assert(!is_gated(K), "tinygpt: reference::activation has no branch for this gated ActivationKind");
        hidden.data()[i * F + f] = act<K>(in[f]);
      }
    }
  }
}

/// d_pre = act'(pre) d_hidden. d_pre may be the memory of pre.
template <class E, int F, ActivationKind K>
void activation_backward(Context<E>&, Tensor<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                         In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden, In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  for (std::int64_t i = 0; i < pre.rows(); ++i) {
    const E* in = pre.data() + i * pre.width();
    E* out = d_pre.data() + i * pre.width();
    for (int f = 0; f < F; ++f) {
      const E g = d_hidden.data()[i * F + f];
      if constexpr (K == swiglu) {
        const E gate = in[f], up = in[F + f], s = sigmoid(gate);
        out[f] = g * up * s * (E(1) + gate * (E(1) - s));
        out[F + f] = g * gate * s;
      } else {
        static_assert(!is_gated(K),
                      "tinygpt: reference::activation_backward has no branch for this gated ActivationKind");
        out[f] = g * act_derivative<K>(E(in[f]));
      }
    }
  }
}

}  // namespace tinygpt::reference

// The nonlinearities of the feed-forward network. Twin of reference/activation.hpp.
// A thread has one vector: 16 bytes of each tensor. bfloat16 takes the GPU's approximations of exp and 1 / x, whose
// error is far below its rounding; float takes the exact functions.
#pragma once

#include <cmath>
#include <numbers>

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/launch.cuh>
#include <tinygpt/gpu/rows.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

/// e^x and 1 / (1 + e^-x), as exactly as E is worth.
template <class E> __device__ __forceinline__ float exp_for(float x) {
  if constexpr (std::is_same_v<E, bfloat16>) return __expf(x);
  return expf(x);
}
template <class E> __device__ __forceinline__ float sigmoid_for(float x) {
  if constexpr (std::is_same_v<E, bfloat16>) return __fdividef(1.0f, 1.0f + __expf(-x));
  return 1.0f / (1.0f + expf(-x));
}

/// The normal distribution's Phi(x) and e^(-x^2 / 2), which both have one exponential. Error of Phi below 1.5e-7.
/// Source: Abramowitz and Stegun 1964, formula 7.1.26 for erfc(|x| / sqrt 2).
struct Normal {
  float cumulative, exponential;
};
template <class E> __device__ __forceinline__ Normal normal_for(float x) {
  const float z = fabsf(x) * static_cast<float>(std::numbers::sqrt2 / 2);
  const float exponential = exp_for<E>(-0.5f * x * x);
  const float denominator = fmaf(0.3275911f, z, 1.0f);
  const float t = std::is_same_v<E, bfloat16> ? __fdividef(1.0f, denominator) : 1.0f / denominator;
  float p = fmaf(1.061405429f, t, -1.453152027f);
  p = fmaf(p, t, 1.421413741f);
  p = fmaf(p, t, -0.284496736f);
  p = fmaf(p, t, 0.254829592f);
  const float tail = 0.5f * p * t * exponential;
  return {x < 0 ? tail : 1.0f - tail, exponential};
}

/// 2 sqrt(2 / pi) (x + 0.044715 x^3): gelu_tanh(x) = x sigmoid(this), as (1 + tanh u) / 2 = sigmoid(2 u).
inline constexpr float gelu_tanh_linear = static_cast<float>(2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
inline constexpr float gelu_tanh_cubic = 0.044715f;

/// act(x) of one number; for swiglu of the gate, to be multiplied by up.
template <ActivationKind K, class E> __device__ __forceinline__ float act(float x) {
  if constexpr (K == relu) {
    return x > 0 ? x : 0.0f;
  } else if constexpr (K == gelu) {
    return x * normal_for<E>(x).cumulative;
  } else if constexpr (K == gelu_tanh) {
    return x * sigmoid_for<E>(gelu_tanh_linear * x * fmaf(gelu_tanh_cubic * x, x, 1.0f));
  } else {
    return x * sigmoid_for<E>(x);
  }
}

template <ActivationKind K, class E> __device__ __forceinline__ float act_derivative(float x) {
  if constexpr (K == relu) {
    return x > 0 ? 1.0f : 0.0f;
  } else if constexpr (K == gelu) {
    const Normal normal = normal_for<E>(x);
    constexpr auto density = static_cast<float>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    return fmaf(x * density, normal.exponential, normal.cumulative);
  } else if constexpr (K == gelu_tanh) {
    const float s = sigmoid_for<E>(gelu_tanh_linear * x * fmaf(gelu_tanh_cubic * x, x, 1.0f));
    return fmaf(s * (1.0f - s) * x, gelu_tanh_linear * fmaf(3 * gelu_tanh_cubic * x, x, 1.0f), s);
  } else {
    const float s = sigmoid_for<E>(x);
    return s * fmaf(x, 1.0f - s, 1.0f);
  }
}

inline constexpr int activation_threads = 256;

template <ActivationKind K, class E, int F>
__global__ void __launch_bounds__(activation_threads) activation_kernel(E* hidden, const E* pre, std::int64_t rows) {
  constexpr int n = row_vec<E, F>;
  const std::int64_t vector = global_thread();
  if (vector < rows * (F / n)) {
    const std::int64_t at = vector * n;
    if constexpr (K == swiglu) {
      const std::int64_t gate_at = at + vector / (F / n) * F;
      const Vec<E, n> gates = load_vec<n>(pre + gate_at), ups = load_vec<n>(pre + gate_at + F);
      const Vec<float, n> gate = to_float(gates), up = to_float(ups);
      Vec<float, n> h;
#pragma unroll
      for (int i = 0; i < n; ++i) h[i] = act<K, E>(gate[i]) * up[i];
      store_vec(hidden + at, from_float<E>(h));
    } else {
      Vec<float, n> x = to_float(load_vec<n>(pre + at));
#pragma unroll
      for (int i = 0; i < n; ++i) x[i] = act<K, E>(x[i]);
      store_vec(hidden + at, from_float<E>(x));
    }
  }
}

template <ActivationKind K, class E, int F>
__global__ void __launch_bounds__(activation_threads)
    activation_backward_kernel(E* d_pre, const E* d_hidden, const E* pre, std::int64_t rows) {
  constexpr int n = row_vec<E, F>;
  const std::int64_t vector = global_thread();
  if (vector < rows * (F / n)) {
    const std::int64_t at = vector * n;
    const Vec<E, n> grads = load_vec<n>(d_hidden + at);
    if constexpr (K == swiglu) {
      const std::int64_t gate_at = at + vector / (F / n) * F;
      const Vec<E, n> gates = load_vec<n>(pre + gate_at), ups = load_vec<n>(pre + gate_at + F);
      const Vec<float, n> g = to_float(grads), gate = to_float(gates), up = to_float(ups);
      Vec<float, n> d_gate, d_up;
#pragma unroll
      for (int i = 0; i < n; ++i) {
        const float s = sigmoid_for<E>(gate[i]);
        d_gate[i] = g[i] * up[i] * s * fmaf(gate[i], 1.0f - s, 1.0f);
        d_up[i] = g[i] * gate[i] * s;
      }
      store_vec(d_pre + gate_at, from_float<E>(d_gate));
      store_vec(d_pre + gate_at + F, from_float<E>(d_up));
    } else {
      const Vec<E, n> inputs = load_vec<n>(pre + at);
      const Vec<float, n> g = to_float(grads), x = to_float(inputs);
      Vec<float, n> d;
#pragma unroll
      for (int i = 0; i < n; ++i) d[i] = g[i] * act_derivative<K, E>(x[i]);
      store_vec(d_pre + at, from_float<E>(d));
    }
  }
}

/// hidden = act(pre), or silu(gate) * up with pre = [gate | up].
template <class E, int F, ActivationKind K>
void activation(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                Tensor<const E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  launch<activation_kernel<K, E, F>>(
      Grid{blocks_for(pre.rows() * (F / row_vec<E, F>), activation_threads), activation_threads, 0, ctx.stream()},
      hidden.data(), pre.data(), pre.rows());
}

/// d_pre = act'(pre) d_hidden. d_pre may be the memory of pre.
template <class E, int F, ActivationKind K>
void activation_backward(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                         In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden, In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  launch<activation_backward_kernel<K, E, F>>(
      Grid{blocks_for(pre.rows() * (F / row_vec<E, F>), activation_threads), activation_threads, 0, ctx.stream()},
      d_pre.data(), d_hidden.data(), pre.data(), pre.rows());
}

}  // namespace tinygpt::gpu

// The nonlinearities of the feed-forward network. Twin of reference/activation.hpp.
// A thread has 16 bytes of each tensor. bfloat16 takes the GPU's approximations of exp and 1 / x, whose
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
  } else if constexpr (K == swiglu) {
    return x * sigmoid_for<E>(x);
  } else {
    static_assert(has_branch<K>, "tinygpt: gpu::act has no branch for this ActivationKind: add its formula");
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
  } else if constexpr (K == swiglu) {
    const float s = sigmoid_for<E>(x);
    return s * fmaf(x, 1.0f - s, 1.0f);
  } else {
    static_assert(has_branch<K>, "tinygpt: gpu::act_derivative has no branch for this ActivationKind: add its formula");
  }
}

inline constexpr int activation_threads = 256;

/// How F columns are dealt: a thread has 16 bytes of each tensor, in one vector or, where F does not divide into such,
/// in as many small ones as have that many bytes, a block's width apart.
template <class E, int F> struct ActivationShare {
  static constexpr int n = row_vec<E, F>;
  static constexpr int count = per_vec<E> / n;  ///< vectors of a thread
  static constexpr int row = F / n;             ///< vectors of a row
  static constexpr int block = activation_threads * count;

  /// Calls f(i, hidden, pre) for each of this thread's vectors, at those elements of a tensor of F and of FfnIn
  /// columns.
  template <ActivationKind K, class Body> __device__ __forceinline__ static void each(std::int64_t vectors, Body&& f) {
    constexpr bool gated = is_gated(K);
    const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const std::int64_t vector = first + i * activation_threads;
      if (vector < vectors) f(i, vector * n, gated ? vector * n + vector / row * F : vector * n);
    }
  }
};

template <ActivationKind K, class E, int F>
__global__ void __launch_bounds__(activation_threads) activation_kernel(E* hidden, const E* pre, std::int64_t vectors) {
  using Share = ActivationShare<E, F>;
  constexpr int n = Share::n;
  Vec<E, n> x[Share::count], up[Share::count];
  Share::template each<K>(vectors, [&](int i, std::int64_t, std::int64_t at) {
    x[i] = load_vec<n>(pre + at);
    if constexpr (is_gated(K)) up[i] = load_vec<n>(pre + at + F);
  });
  Share::template each<K>(vectors, [&](int i, std::int64_t at, std::int64_t) {
    Vec<float, n> h = to_float(x[i]);
#pragma unroll
    for (int j = 0; j < n; ++j) h[j] = act<K, E>(h[j]);
    if constexpr (is_gated(K)) h = h * to_float(up[i]);
    store_vec(hidden + at, from_float<E>(h));
  });
}

template <ActivationKind K, class E, int F>
__global__ void __launch_bounds__(activation_threads)
    activation_backward_kernel(E* d_pre, const E* d_hidden, const E* pre, std::int64_t vectors) {
  using Share = ActivationShare<E, F>;
  constexpr int n = Share::n;
  Vec<E, n> grad[Share::count], input[Share::count], second[Share::count];
  Share::template each<K>(vectors, [&](int i, std::int64_t hidden_at, std::int64_t at) {
    grad[i] = load_vec<n>(d_hidden + hidden_at);
    input[i] = load_vec<n>(pre + at);
    if constexpr (is_gated(K)) second[i] = load_vec<n>(pre + at + F);
  });
  Share::template each<K>(vectors, [&](int i, std::int64_t, std::int64_t at) {
    const Vec<float, n> g = to_float(grad[i]), x = to_float(input[i]);
    Vec<float, n> d;
    if constexpr (K == swiglu) {
      const Vec<float, n> up = to_float(second[i]);
      Vec<float, n> d_up;
#pragma unroll
      for (int j = 0; j < n; ++j) {
        const float s = sigmoid_for<E>(x[j]);
        d[j] = g[j] * up[j] * s * fmaf(x[j], 1.0f - s, 1.0f);
        d_up[j] = g[j] * x[j] * s;
      }
      store_vec(d_pre + at + F, from_float<E>(d_up));
    } else {
      static_assert(!is_gated(K), "tinygpt: gpu::activation_backward has no branch for this gated ActivationKind");
#pragma unroll
      for (int j = 0; j < n; ++j) d[j] = g[j] * act_derivative<K, E>(x[j]);
    }
    store_vec(d_pre + at, from_float<E>(d));
  });
}

/// hidden = act(pre), or silu(gate) * up with pre = [gate | up].
template <class E, int F, ActivationKind K>
void activation(Context<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                Tensor<const E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  const std::int64_t vectors = pre.rows() * ActivationShare<E, F>::row;
  launch<activation_kernel<K, E, F>>(
      Grid{blocks_for(vectors, ActivationShare<E, F>::block), activation_threads, 0, ctx.stream()}, hidden.data(),
      pre.data(), vectors);
}

/// d_pre = act'(pre) d_hidden. d_pre may be the memory of pre.
template <class E, int F, ActivationKind K>
void activation_backward(Context<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                         In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden, In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre) {
  const std::int64_t vectors = pre.rows() * ActivationShare<E, F>::row;
  launch<activation_backward_kernel<K, E, F>>(
      Grid{blocks_for(vectors, ActivationShare<E, F>::block), activation_threads, 0, ctx.stream()}, d_pre.data(),
      d_hidden.data(), pre.data(), vectors);
}

}  // namespace tinygpt::gpu

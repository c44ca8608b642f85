// The global norm of the gradient, and AdamW over the whole arena in one pass. Twin of reference/optimizer.hpp.
// Memory-bound: a thread has four parameters, 16 bytes of each array. The loss, the norm and the hyperparameters are
// read on the GPU, by one thread, which leaves a handful of floats for all others.
#pragma once

#include <cmath>
#include <span>

#include <tinygpt/gpu/block_reduce.cuh>
#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/launch.cuh>
#include <tinygpt/gpu/rows.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

inline constexpr int norm_sum_threads = 256;

template <int Threads> struct NormSumShared { BlockReduce<Threads, double> sum; };

/// How many blocks sum the squares of n numbers: a function of n alone, so that the bits are, too.
constexpr std::int64_t norm_parts(std::int64_t n) {
  constexpr std::int64_t least = 8 * 4 * norm_sum_threads, most = 4096;
  const std::int64_t parts = (n + least - 1) / least;
  return parts < 1 ? 1 : parts < most ? parts : most;
}

/// A thread adds in float what it reads (at most a few thousand squares), a block in double.
template <int Threads>
__global__ void __launch_bounds__(Threads) norm_sum_kernel(double* sums, const float* x, std::int64_t size) {
  auto& shared = shared_memory<NormSumShared<Threads>>();
  Vec<float, 4> squares = {};
  const std::int64_t stride = global_threads() * 4;
#pragma unroll 4
  for (std::int64_t at = global_thread() * 4; at + 4 <= size; at += stride) {
    const Vec<float, 4> g = load_vec<4>(x + at);
#pragma unroll
    for (int i = 0; i < 4; ++i) squares[i] = fmaf(g[i], g[i], squares[i]);
  }
  const std::int64_t rest = size / 4 * 4 + global_thread();
  if (rest < size) squares[0] = fmaf(x[rest], x[rest], squares[0]);
  const auto own = static_cast<double>((squares[0] + squares[1]) + (squares[2] + squares[3]));
  const double sum = block_sum(own, shared.sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

template <int Threads>
__global__ void __launch_bounds__(Threads) norm_root_kernel(double* norm, const double* sums, std::int64_t parts) {
  auto& shared = shared_memory<NormSumShared<Threads>>();
  double sum = 0;
  for (std::int64_t part = threadIdx.x; part < parts; part += Threads) sum += sums[part];
  sum = block_sum(sum, shared.sum);
  if (threadIdx.x == 0) *norm = sqrt(sum);
}

/// Bytes of scratch of global_norm and of adamw over n parameters.
constexpr std::int64_t global_norm_scratch(std::int64_t n) {
  return norm_parts(n) * static_cast<std::int64_t>(sizeof(double));
}

/// norm = sqrt(sum of squares).
template <class E>
void global_norm(Context<E>& ctx, double* norm, std::type_identity_t<std::span<const float>> gradients) {
  const auto size = static_cast<std::int64_t>(gradients.size());
  const std::int64_t parts = norm_parts(size);
  auto* const sums = static_cast<double*>(ctx.scratch(global_norm_scratch(size)));
  launch<norm_sum_kernel<norm_sum_threads>>(
      Grid{static_cast<unsigned>(parts), norm_sum_threads, sizeof(NormSumShared<norm_sum_threads>), ctx.stream()}, sums,
      gradients.data(), size);
  launch<norm_root_kernel<1024>>(Grid{1, 1024, sizeof(NormSumShared<1024>), ctx.stream()}, norm, sums, parts);
}

/// What an update is made of, computed once in double: the same for every parameter.
struct AdamWNow {
  float clip, beta1, beta2, one_minus_beta1, one_minus_beta2, rate, inv_correction2, epsilon, kept;
  int finite;  ///< 0: nothing changes
  std::int64_t decay_end;
};

/// One thread of a warp; counts the update. A template, so that a header may hold it.
template <class Hyper>
__global__ void adamw_now_kernel(AdamWNow* now, std::int64_t* updates, const float* loss, const double* norm,
                                 const Hyper* hyper) {
  if (threadIdx.x == 0) {
    const AdamW h = *hyper;
    const std::int64_t number = *updates + 1;
    const bool finite = AdamW::finite(static_cast<double>(*loss), *norm);
    if (finite) *updates = number;
    const double correction1 = 1 - pow(h.beta1, static_cast<double>(number));
    const double correction2 = 1 - pow(h.beta2, static_cast<double>(number));
    now->clip = static_cast<float>(h.clip_scale(*norm));
    now->beta1 = static_cast<float>(h.beta1);
    now->beta2 = static_cast<float>(h.beta2);
    now->one_minus_beta1 = static_cast<float>(1 - h.beta1);
    now->one_minus_beta2 = static_cast<float>(1 - h.beta2);
    now->rate = static_cast<float>(h.learning_rate / correction1);
    now->inv_correction2 = static_cast<float>(1 / correction2);
    now->epsilon = static_cast<float>(h.epsilon);
    now->kept = static_cast<float>(1 - h.learning_rate * h.weight_decay);
    now->finite = finite ? 1 : 0;
    now->decay_end = h.decay_end;
  }
}

inline constexpr int adamw_threads = 256;

/// One parameter's update; the new weight.
__device__ __forceinline__ float adamw_one(const AdamWNow& now, float weight, float& m, float& v, float gradient,
                                           bool decays) {
  const float g = gradient * now.clip;
  m = fmaf(m, now.beta1, g * now.one_minus_beta1);
  v = fmaf(v, now.beta2, g * g * now.one_minus_beta2);
  const float change = m * now.rate / (sqrtf(v * now.inv_correction2) + now.epsilon);
  return (decays ? weight * now.kept : weight) - change;
}

/// Where E is float the weights are their own masters.
template <class E>
__global__ void __launch_bounds__(adamw_threads)
    adamw_kernel(E* weights, float* masters, float* m, float* v, const float* gradients, const AdamWNow* from,
                 std::int64_t size) {
  const AdamWNow now = *from;
  const std::int64_t at = global_thread() * 4;
  if (now.finite != 0) {
    if (at + 4 <= size) {
      Vec<float, 4> w = load_vec<4>(masters + at), own_m = load_vec<4>(m + at), own_v = load_vec<4>(v + at);
      const Vec<float, 4> g = load_vec<4>(gradients + at);
#pragma unroll
      for (int i = 0; i < 4; ++i) w[i] = adamw_one(now, w[i], own_m[i], own_v[i], g[i], at + i < now.decay_end);
      store_vec(m + at, own_m);
      store_vec(v + at, own_v);
      store_vec(masters + at, w);
      if constexpr (!std::is_same_v<E, float>) store_vec(weights + at, from_float<E>(w));
    } else {
      for (std::int64_t i = at; i < size; ++i) {
        masters[i] = adamw_one(now, masters[i], m[i], v[i], gradients[i], i < now.decay_end);
        if constexpr (!std::is_same_v<E, float>) weights[i] = from_float<E>(masters[i]);
      }
    }
  }
}

/// Bytes of scratch of adamw.
constexpr std::int64_t adamw_scratch() { return static_cast<std::int64_t>(sizeof(AdamWNow)); }

/// Algorithm 2 of Loshchilov and Hutter 2019, as reference/optimizer.hpp has it; the new masters are rounded to
/// weights. Does nothing where *loss or *norm is not finite. Bytes 28 (float) or 30 (bfloat16) per parameter.
template <class E>
void adamw(Context<E>& ctx, std::type_identity_t<std::span<E>> weights, std::type_identity_t<std::span<float>> masters,
           std::type_identity_t<std::span<float>> m, std::type_identity_t<std::span<float>> v, std::int64_t* updates,
           std::type_identity_t<std::span<const float>> gradients, const float* loss, const double* norm,
           const AdamW* hyper) {
  const auto size = static_cast<std::int64_t>(weights.size());
  auto* const now = static_cast<AdamWNow*>(ctx.scratch(adamw_scratch()));
  float* own = masters.data();
  if constexpr (std::is_same_v<E, float>) own = weights.data();
  launch<adamw_now_kernel<AdamW>>(Grid{1, warp_size, 0, ctx.stream()}, now, updates, loss, norm, hyper);
  launch<adamw_kernel<E>>(Grid{blocks_for(size, 4 * adamw_threads), adamw_threads, 0, ctx.stream()}, weights.data(),
                          own, m.data(), v.data(), gradients.data(), now, size);
}

}  // namespace tinygpt::gpu

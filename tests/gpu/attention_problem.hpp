// Attention of random numbers on the gpu backend and the reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <on_device.hpp>
#include <tinygpt/gpu/attention.cuh>
#include <tinygpt/ops/random.hpp>
#include <tinygpt/reference/attention.hpp>

namespace tinygpt::test {

/// Numbers of a normal distribution, times `size`.
inline std::vector<double> normal_numbers(std::int64_t n, std::uint64_t seed, double size = 1) {
  std::vector<double> numbers(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = size * normal_pair(random_bits(seed, Purpose::sampling, i, 0))[0];
  }
  return numbers;
}

/// Columns [first, last) of a matrix.
inline std::vector<double> columns_of(const std::vector<double>& x, int width, int first, int last) {
  std::vector<double> part;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int column = static_cast<int>(i) % width;
    if (column >= first && column < last) part.push_back(x[i]);
  }
  return part;
}

/// A batch of B sequences of T positions, and where both backends put their results. Results begin as numbers that no
/// test forgives, so what is not written shows.
template <class E, int Q, int KV, int D> struct AttentionProblem {
  static constexpr int width = Qkv<Q, KV, D>::value;
  static constexpr double unwritten = 1e30;

  AttentionProblem(int batch, int time, std::uint64_t seed, Dropout dropped = {})
      : B(batch),
        T(time),
        dropout(dropped),
        qkv(normal_numbers(std::int64_t{B} * T * width, seed, 1.5)),
        d_y(normal_numbers(std::int64_t{B} * T * Q * D, seed + 1)),
        y(std::vector<double>(static_cast<std::size_t>(B) * T * Q * D, unwritten)),
        lse(std::vector<double>(static_cast<std::size_t>(B) * T * Q, unwritten)),
        d_qkv(std::vector<double>(static_cast<std::size_t>(B) * T * width, unwritten)) {
    ctx.reserve_scratch(gpu::attention_backward_scratch(B, T, Q));
  }

  template <class S> Tensor<S, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> joined(S* p) const {
    return Tensor<S, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>>(p, B, T);
  }
  template <class S> Tensor<S, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> heads(S* p) const {
    return Tensor<S, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>>(p, B, T);
  }
  template <class S> Tensor<S, Batch<dyn>, Time<dyn>, PerHead<Q>> per_head(S* p) const {
    return Tensor<S, Batch<dyn>, Time<dyn>, PerHead<Q>>(p, B, T);
  }

  /// `on_gpu` is the dropout of the gpu's kernels: the same, with its step perhaps in the device's memory.
  void run(const Dropout& on_gpu) {
    attention(exact, heads(y.exact()), per_head(lse.exact()), read(joined(qkv.exact())), dropout);
    attention_backward(exact, joined(d_qkv.exact()), heads(d_y.exact()), heads(y.exact()), per_head(lse.exact()),
                       joined(qkv.exact()), dropout);
    attention(ctx, heads(y.gpu()), per_head(lse.gpu()), read(joined(qkv.gpu())), on_gpu);
    attention_backward(ctx, joined(d_qkv.gpu()), heads(d_y.gpu()), heads(y.gpu()), per_head(lse.gpu()),
                       joined(qkv.gpu()), on_gpu);
  }

  /// Relative error of a part of d_qkv: 0 for queries, 1 for keys, 2 for values. d_q and d_k are differences of terms
  /// scale (d_y . v) k that may cancel (at T = 1 they do) and have the errors of these terms. Here their size is 1.5
  /// * 1.5 times dropout's scale, and d_k has terms of each head of a group: where it is smaller than a quarter of
  /// that, a part is compared with that quarter.
  double backward_error(int part) const {
    const int ends[] = {0, Q * D, (Q + KV) * D, width};
    const auto actual = columns_of(d_qkv.from_gpu(), width, ends[part], ends[part + 1]);
    const auto expected = columns_of(d_qkv.from_exact(), width, ends[part], ends[part + 1]);
    double difference = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    const double term = 2.25 * static_cast<double>(dropout.scale()) * std::sqrt(part == 1 ? Q / KV : 1);
    const double terms = part == 2 ? 0 : 0.25 * term * std::sqrt(static_cast<double>(expected.size()));
    return std::sqrt(difference) / std::max(norm2(expected), terms);
  }

  int B, T;
  Dropout dropout;
  gpu::Context<E> ctx;
  reference::Context<double> exact;
  Twin<E> qkv, d_y, y;
  Twin<float> lse;
  Twin<E> d_qkv;
};

}  // namespace tinygpt::test

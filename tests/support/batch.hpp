// A model's weights, activations and a batch in memory, on any backend: what whole-model tests begin from.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <tinygpt/layout/arena.hpp>
#include <tinygpt/layout/dtype.hpp>
#include <tinygpt/ops/random.hpp>
#include <tinygpt/train/step.hpp>

namespace tinygpt::test {

/// Numbers that depend on the seed and their place only; every one is a float, so that all scalars start equal.
inline float random_normal(std::uint64_t seed, std::int64_t i) {
  return static_cast<float>(
      normal_pair(random_bits(seed, Purpose::initial_weights, static_cast<std::uint64_t>(i), 99))[0]);
}

/// Weights far from their usual start: norms' weights about 1, all others of the size that keeps activations near 1.
template <Architecture M, class S> std::vector<S> random_weights(std::uint64_t seed) {
  std::vector<S> w(static_cast<std::size_t>(M::params.arena_size()));
  for (const ParamRow& row : M::params) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        const std::int64_t at = row.offset + l * row.stride + i;
        const double scale = row.cols > 0 ? 1 / std::sqrt(static_cast<double>(row.cols)) : 0.2;
        w[static_cast<std::size_t>(at)] =
            S((row.init == Init::ones ? 1.0f : 0.0f) + static_cast<float>(scale) * random_normal(seed, at));
      }
    }
  }
  return w;
}

/// One training step without the update: loss and gradients, with every intermediate result to look at.
template <Architecture M, class Context> struct Step {
  using E = typename Context::element;
  using S = typename Context::accumulator;

  Step(Context& context, std::vector<E> weights, int batch, int time, Recompute recompute = Recompute::none)
      : ctx(context),
        plan(Activations<M, E, S>::plan(batch, time, recompute)),
        w(std::move(weights)),
        d(w.size()),
        memory(plan.bytes()),
        act(memory.data(), plan, batch, time),
        tokens(static_cast<std::size_t>(batch) * static_cast<std::size_t>(time)),
        targets(tokens.size()) {
    if (const auto table = act.rope_table()) fill_rope(ctx, table, M::config.rope_base);
  }

  /// Random tokens and targets; every third target is ignored where `ignore` says so.
  void draw(std::uint64_t seed, bool ignore) {
    counted = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto bits = random_bits(seed, Purpose::training_batch, i, 0);
      tokens[i] = static_cast<std::int32_t>(bits[0] % static_cast<std::uint64_t>(M::config.vocab));
      targets[i] = ignore && bits[1] % 3 == 0
                       ? ignored_target
                       : static_cast<std::int32_t>((bits[1] >> 8) % static_cast<std::uint64_t>(M::config.vocab));
      counted += targets[i] != ignored_target;
    }
    if (counted == 0) targets[0] = 0, counted = 1;
  }

  TokenIds ids(const std::vector<std::int32_t>& v) const { return TokenIds(v.data(), act.batch(), act.time()); }
  Params<M, const E> weights() const { return Params<M, const E>(w.data()); }

  void run_forward(const DropoutPlan& dropout = {}) { forward<M>(ctx, weights(), act, ids(tokens), dropout); }
  S run_loss() {
    S loss(0);
    evaluate<M>(ctx, &loss, weights(), act, ids(targets), 1.0 / counted);
    return loss;
  }
  S run_backward(const DropoutPlan& dropout = {}) {
    S loss(0);
    backward<M>(ctx, &loss, Params<M, S>(d.data()), weights(), act, ids(tokens), ids(targets), 1.0 / counted, dropout);
    return loss;
  }

  Context& ctx;
  ActivationPlan plan;
  std::vector<E> w;
  std::vector<S> d;
  Arena<std::byte> memory;
  Activations<M, E, S> act;
  std::vector<std::int32_t> tokens, targets;
  int counted = 0;
};

/// |x|, the 2-norm of n numbers.
template <class A> double norm_of(const A* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return std::sqrt(sum);
}

template <class N> double as_double(N x) { return static_cast<double>(x); }
inline double as_double(bfloat16 x) { return static_cast<double>(static_cast<float>(x)); }

/// |a - b|
template <class A, class B> double difference(const A* a, const B* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double d = as_double(a[i]) - as_double(b[i]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

}  // namespace tinygpt::test

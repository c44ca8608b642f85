// The loss of a model over given tokens, without anything that training keeps.
#pragma once

#include <tinygpt/layout/memory.hpp>
#include <tinygpt/train/step.hpp>

namespace tinygpt {

/// Evaluates weights of type M on a backend. All of the backend's memory is allocated here, once.
template <Architecture M, class Context> class Evaluator {
 public:
  using E = typename Context::element;
  using S = typename Context::accumulator;

  /// `weights` is an arena laid out by M::params in the backend's memory, which must outlive the evaluator; `batch`
  /// contexts are evaluated at once. Throws std::bad_alloc.
  Evaluator(Context& ctx, std::span<const E> weights, Batch<> batch)
      : ctx_(ctx),
        batch_(batch.size),
        weights_(weights.data()),
        memory_(allocate(ctx, plan().bytes() + 2 * ids_bytes() + static_cast<std::int64_t>(sizeof(S)))) {
    if (const auto table = activations().rope_table()) fill_rope(ctx_, table, M::config.rope_base);
  }

  /// The sum of the losses, in nats, of the targets that are not ignored_target. Both spans are (B, T), T the context.
  double loss(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets) {
    copy_in(ctx_, ids(0), tokens);
    copy_in(ctx_, ids(1), targets);
    fill_zero(ctx_, std::span<S>(sum(), 1));
    replay(ctx_, recording_, [&] {
      const Params<M, const E> w(weights_);
      const auto act = activations();
      forward<M>(ctx_, w, act, TokenIds(ids(0), batch_, M::config.ctx));
      evaluate<M>(ctx_, sum(), w, act, TokenIds(ids(1), batch_, M::config.ctx), 1.0);
    });
    S loss{};
    copy_out(ctx_, std::span<S>(&loss, 1), sum());
    return static_cast<double>(loss);
  }

 private:
  ActivationPlan plan() const {
    return {M::config, batch_, M::config.ctx, ActivationPlan::For::evaluation, Recompute::none, {sizeof(E), sizeof(S)}};
  }
  Activations<M, E, S> activations() { return {memory_.data(), plan(), batch_, M::config.ctx}; }
  std::int64_t ids_bytes() const {
    return aligned(std::int64_t{batch_} * M::config.ctx * static_cast<std::int64_t>(sizeof(std::int32_t)));
  }
  /// 0: tokens, 1: targets.
  std::int32_t* ids(int which) {
    return reinterpret_cast<std::int32_t*>(memory_.data() + plan().bytes() + which * ids_bytes());
  }
  S* sum() { return reinterpret_cast<S*>(ids(0) + 2 * ids_bytes() / static_cast<std::int64_t>(sizeof(std::int32_t))); }

  Context& ctx_;
  int batch_;
  const E* weights_;
  decltype(allocate(std::declval<Context&>(), std::int64_t{})) memory_;
  typename Context::Recording recording_;
};

}  // namespace tinygpt

// The training loop's one step, and everything it keeps.
#pragma once

#include <cmath>
#include <vector>

#include <tinygpt/layout/arena.hpp>
#include <tinygpt/train/initialize.hpp>
#include <tinygpt/train/options.hpp>
#include <tinygpt/train/schedule.hpp>
#include <tinygpt/train/step.hpp>

namespace tinygpt {

struct StepReport {
  std::int64_t iteration = 0;
  double loss = 0;       ///< mean over the batch's targets, in nats
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0;
  bool skipped = false;  ///< loss or gradient was not finite: the weights are as they were
};

/// Fills tokens and targets (batch x time each) with the batch of that number: data::TokenStream, or the user's own.
template <class S>
concept BatchSource = requires(const S& source, std::span<std::int32_t> ids, Purpose purpose) {
  source.draw(ids, ids, /*time*/ 1, /*seed*/ std::uint64_t{}, purpose, /*number*/ std::uint64_t{});
};

/// Trains a model of type M on a backend. All memory is allocated here, once, and laid out by the constexpr plan.
/// Everything random is a function of the seed and the iteration, so a restored trainer continues bit for bit.
template <Architecture M, class Context> class Trainer {
 public:
  using E = typename Context::element;

  /// Throws std::bad_alloc where the memory is not to be had.
  Trainer(Context& ctx, const TrainOptions& options)
      : ctx_(ctx),
        options_(options),
        plan_(M::config, options.batch_size, M::config.ctx),
        arena_(4 * params_size + plan_.size()),
        tokens_(static_cast<std::size_t>(options.batch_size) * M::config.ctx),
        targets_(tokens_.size()) {
    initialize<M>(weights(), options.seed);
    if (const auto table = activations().rope_table()) fill_rope(ctx_, table, M::config.rope_base);
  }

  /// One optimizer update on the next batch, or on the next grad_accum_steps of them.
  template <BatchSource Source> StepReport step(const Source& train) {
    ++iteration_;
    const double rate = warmup_cosine(iteration_, options_.warmup_iters, options_.max_iters, options_.learning_rate,
                                      options_.min_learning_rate);
    E loss{};
    double norm{};
    fill_zero(ctx_, gradients());
    const int micro_batches = options_.grad_accum_steps;
    for (int micro = 0; micro < micro_batches; ++micro) {
      // Each has a number of its own over the whole run: its windows and masks depend on nothing else. With one per
      // iteration, that is the iteration's.
      const auto number = static_cast<std::uint64_t>((iteration_ - 1) * micro_batches + micro + 1);
      const auto dropout = DropoutPlan::at_rate(options_.dropout, options_.seed, number, M::config.ctx);
      train.draw(tokens_, targets_, M::config.ctx, options_.seed, Purpose::training_batch, number);
      forward<M>(ctx_, read_weights(), activations(), ids(tokens_), dropout);
      backward<M>(ctx_, &loss, Params<M, E>(gradients().data()), read_weights(), activations(), ids(tokens_),
                  ids(targets_), loss_scale() / micro_batches, dropout);
    }
    global_norm(ctx_, &norm, gradients());

    const bool finite = std::isfinite(static_cast<double>(loss)) && std::isfinite(norm);
    if (finite) {
      adamw(ctx_, weights(), first_moments(), second_moments(), gradients(), &norm,
            {rate, options_.beta1, options_.beta2, 1e-8, options_.weight_decay, options_.grad_clip, ++updates_,
             M::params.decay_end()});
    }
    skipped_ += !finite;
    skipped_in_a_row_ = finite ? 0 : skipped_in_a_row_ + 1;
    return {iteration_, static_cast<double>(loss), norm, rate, !finite};
  }

  /// Mean loss in nats per token over options.eval_iters batches, the same batches at every call.
  template <BatchSource Source> double evaluate(const Source& data) {
    E loss{};
    for (int i = 0; i < options_.eval_iters; ++i) {
      data.draw(tokens_, targets_, M::config.ctx, options_.seed, Purpose::validation_batch,
                static_cast<std::uint64_t>(i));
      forward<M>(ctx_, read_weights(), activations(), ids(tokens_));
      tinygpt::evaluate<M>(ctx_, &loss, read_weights(), activations(), ids(targets_),
                           loss_scale() / options_.eval_iters);
    }
    return static_cast<double>(loss);
  }

  const TrainOptions& options() const { return options_; }
  std::int64_t iteration() const { return iteration_; }
  std::int64_t updates() const { return updates_; }
  std::int64_t skipped() const { return skipped_; }
  int skipped_in_a_row() const { return skipped_in_a_row_; }

  // Arenas of M::params.arena_size() elements, laid out by M::params; writable, to restore a checkpoint.
  std::span<E> weights() { return part(0); }
  std::span<E> gradients() { return part(1); }
  std::span<E> first_moments() { return part(2); }
  std::span<E> second_moments() { return part(3); }

  /// Goes on as if `iteration` iterations had been done, of which `updates` changed the weights.
  void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) {
    iteration_ = iteration;
    updates_ = updates;
    skipped_ = skipped;
    skipped_in_a_row_ = 0;
  }

 private:
  static constexpr std::int64_t params_size = M::params.arena_size();

  std::span<E> part(int i) { return arena_.span().subspan(static_cast<std::size_t>(i * params_size), params_size); }
  Params<M, const E> read_weights() { return Params<M, const E>(weights().data()); }
  Activations<M, E> activations() {
    return {arena_.data() + 4 * params_size, plan_, options_.batch_size, M::config.ctx};
  }
  TokenIds ids(const std::vector<std::int32_t>& v) const {
    return TokenIds(v.data(), options_.batch_size, M::config.ctx);
  }
  double loss_scale() const { return 1.0 / static_cast<double>(tokens_.size()); }

  Context& ctx_;
  TrainOptions options_;
  ActivationPlan plan_;
  Arena<E> arena_;
  std::vector<std::int32_t> tokens_, targets_;
  std::int64_t iteration_ = 0, updates_ = 0, skipped_ = 0;
  int skipped_in_a_row_ = 0;
};

}  // namespace tinygpt

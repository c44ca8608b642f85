// The training loop's one step, and everything it keeps.
#pragma once

#include <vector>

#include <tinygpt/layout/memory.hpp>
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
  using S = typename Context::accumulator;
  static constexpr Storage storage{sizeof(E), sizeof(S)};

  /// Throws std::bad_alloc where the memory is not to be had.
  Trainer(Context& ctx, const TrainOptions& options)
      : ctx_(ctx),
        options_(options),
        size_(train_memory(M::config, Batch{options.batch_size}, Time{M::config.ctx}, storage, options.recompute)),
        memory_(allocate(ctx, size_.total() + static_cast<std::int64_t>(sizeof(Scalars)))),
        drawn_(2 * static_cast<std::size_t>(options.batch_size) * M::config.ctx) {
    initialize<M, S>(options.seed, [&](std::int64_t first, std::span<const S> values) {
      copy_in(ctx_, weights().data() + first, values);
    });
    weights_changed();
    if (const auto table = activations().rope_table()) fill_rope(ctx_, table, M::config.rope_base);
  }

  /// One optimizer update on the next batch, or on the next grad_accum_steps of them.
  template <BatchSource Source> StepReport step(const Source& train) {
    ++iteration_;
    const double rate = warmup_cosine(iteration_, options_.warmup_iters, options_.max_iters, options_.learning_rate,
                                      options_.min_learning_rate);
    put(scalars().adamw,
        AdamW{rate, options_.beta1, options_.beta2, 1e-8, options_.weight_decay, options_.grad_clip, updates_ + 1,
              M::params.decay_end()});
    put(scalars().loss, S{});
    fill_zero(ctx_, gradients());
    const int micro_batches = options_.grad_accum_steps;
    for (int micro = 0; micro < micro_batches; ++micro) {
      // Each has a number of its own over the whole run: its windows and masks depend on nothing else. With one per
      // iteration, that is the iteration's.
      draw(train, Purpose::training_batch, static_cast<std::uint64_t>((iteration_ - 1) * micro_batches + micro + 1));
      if (micro + 1 < micro_batches) {
        replay(ctx_, micro_batch_, [&] { accumulate(); });
      } else {
        replay(ctx_, last_batch_, [&] {
          accumulate();
          update();
        });
      }
    }
    const double loss = static_cast<double>(get(scalars().loss)), norm = get(scalars().norm);
    const bool finite = AdamW::finite(loss, norm);
    updates_ += finite;
    skipped_ += !finite;
    skipped_in_a_row_ = finite ? 0 : skipped_in_a_row_ + 1;
    return {iteration_, loss, norm, rate, !finite};
  }

  /// Mean loss in nats per token over options.eval_iters batches, the same batches at every call.
  template <BatchSource Source> double evaluate(const Source& data) {
    put(scalars().loss, S{});
    for (int i = 0; i < options_.eval_iters; ++i) {
      draw(data, Purpose::validation_batch, static_cast<std::uint64_t>(i));
      replay(ctx_, evaluation_, [&] {
        forward<M>(ctx_, read_weights(), activations(), ids(0));
        tinygpt::evaluate<M>(ctx_, &scalars().loss, read_weights(), activations(), ids(1),
                             loss_scale() / options_.eval_iters);
      });
    }
    return static_cast<double>(get(scalars().loss));
  }

  const TrainOptions& options() const { return options_; }
  std::int64_t iteration() const { return iteration_; }
  std::int64_t updates() const { return updates_; }
  std::int64_t skipped() const { return skipped_; }
  int skipped_in_a_row() const { return skipped_in_a_row_; }

  // Arenas of M::params.arena_size() numbers in the backend's memory, laid out by M::params; writable, to restore a
  // checkpoint. The weights are those that updates are added to; resume_at() makes others of them for use.
  std::span<S> weights() { return part<S>(mixed ? size_.weights : 0); }
  std::span<S> gradients() { return part<S>(size_.weights + size_.masters); }
  std::span<S> first_moments() { return part<S>(size_.weights + size_.masters + size_.gradients); }
  std::span<S> second_moments() {
    return part<S>(size_.weights + size_.masters + size_.gradients + size_.moments / 2);
  }

  /// Goes on as if `iteration` iterations had been done, of which `updates` changed the weights.
  void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) {
    iteration_ = iteration;
    updates_ = updates;
    skipped_ = skipped;
    skipped_in_a_row_ = 0;
    weights_changed();
  }

 private:
  static constexpr bool mixed = !std::is_same_v<E, S>;

  /// What changes from step to step, in the backend's memory, so that recorded operations find it there.
  struct Scalars {
    AdamW adamw;
    std::uint64_t batch_number;
    double norm;
    S loss;
  };

  /// Forward and backward on the batch that was drawn.
  void accumulate() {
    const auto dropout =
        DropoutPlan::at_rate(options_.dropout, options_.seed, {0, &scalars().batch_number}, M::config.ctx);
    forward<M>(ctx_, read_weights(), activations(), ids(0), dropout);
    backward<M>(ctx_, &scalars().loss, Params<M, S>(gradients().data()), read_weights(), activations(), ids(0), ids(1),
                loss_scale() / options_.grad_accum_steps, dropout);
  }

  void update() {
    global_norm(ctx_, &scalars().norm, gradients());
    adamw(ctx_, elements(), mixed ? weights() : std::span<S>{}, first_moments(), second_moments(), gradients(),
          &scalars().loss, &scalars().norm, &scalars().adamw);
  }

  template <BatchSource Source> void draw(const Source& source, Purpose purpose, std::uint64_t number) {
    const std::span<std::int32_t> both(drawn_), tokens = both.first(both.size() / 2), targets = both.last(tokens.size());
    source.draw(tokens, targets, M::config.ctx, options_.seed, purpose, number);
    copy_in(ctx_, ids_data(0), tokens);
    copy_in(ctx_, ids_data(1), targets);
    put(scalars().batch_number, number);
  }

  /// One number to the backend's memory, or from it.
  template <class N> void put(N& place, const N& value) { copy_in(ctx_, &place, std::span<const N>(&value, 1)); }
  template <class N> N get(const N& place) {
    N value{};
    copy_out(ctx_, std::span<N>(&value, 1), &place);
    return value;
  }

  void weights_changed() {
    if constexpr (mixed) convert(ctx_, elements(), weights());
  }

  template <class N> std::span<N> part(std::int64_t offset) {
    return {reinterpret_cast<N*>(memory_.data() + offset), static_cast<std::size_t>(M::params.arena_size())};
  }
  std::span<E> elements() { return part<E>(0); }
  Params<M, const E> read_weights() { return Params<M, const E>(elements().data()); }
  std::byte* after_arenas() {
    return memory_.data() + size_.weights + size_.masters + size_.gradients + size_.moments;
  }
  Activations<M, E, S> activations() {
    using Views = Activations<M, E, S>;
    return {after_arenas(), Views::plan(options_.batch_size, M::config.ctx, options_.recompute), options_.batch_size,
            M::config.ctx};
  }
  /// 0: tokens, 1: targets.
  std::int32_t* ids_data(int which) {
    return reinterpret_cast<std::int32_t*>(after_arenas() + size_.activations + which * (size_.batch / 2));
  }
  TokenIds ids(int which) { return TokenIds(ids_data(which), options_.batch_size, M::config.ctx); }
  Scalars& scalars() {
    return *reinterpret_cast<Scalars*>(after_arenas() + size_.activations + size_.batch);
  }
  double loss_scale() const { return 2.0 / static_cast<double>(drawn_.size()); }

  Context& ctx_;
  TrainOptions options_;
  TrainMemory size_;
  decltype(allocate(std::declval<Context&>(), std::int64_t{})) memory_;
  std::vector<std::int32_t> drawn_;  ///< tokens, then targets
  typename Context::Recording micro_batch_, last_batch_, evaluation_;
  std::int64_t iteration_ = 0, updates_ = 0, skipped_ = 0;
  int skipped_in_a_row_ = 0;
};

}  // namespace tinygpt

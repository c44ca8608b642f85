// The training loop's one step, and everything it keeps.
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/error.hpp>
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
/// Without a context's type it is for a cpu::Context; for another write Trainer<M, decltype(ctx)>.
/// Everything random is a function of the seed and the iteration, so a restored trainer continues bit for bit.
///
/// A step is submitted, and what came of it is reported, oldest first: in between the backend works on it, perhaps
/// while the host does other things. evaluate(), resume_at() and the arenas are for when no step is in flight, and
/// throw an Error where one is.
template <Architecture M, class Context = DefaultContext> class Trainer {
 public:
  using Model = M;
  using E = typename Context::element;
  using S = typename Context::accumulator;
  static constexpr Storage storage{sizeof(E), sizeof(S)};

  /// Throws std::bad_alloc where the memory is not to be had.
  Trainer(Context& ctx, const TrainOptions& options)
      : ctx_(ctx),
        options_(options),
        size_(train_memory(M::config, Batch{options.batch_size}, Time{M::config.ctx}, storage, options.recompute)),
        memory_(allocate(ctx, size_.total() + static_cast<std::int64_t>(sizeof(Scalars)))),
        input_(static_cast<std::size_t>(size_.batch) + sizeof(StepNumbers)) {
    initialize<M, S>(options.seed, [&](std::int64_t first, std::span<const S> values) {
      copy_in(ctx_, masters().data() + first, values);
    });
    weights_changed();
    if (const auto table = activations().rope_table()) fill_rope(ctx_, table, M::config.rope_base);
  }

  /// How many steps may be submitted and not yet reported: one that runs, and one that follows at once.
  static constexpr int most_in_flight = 2;

  /// One optimizer update on the next batch, or on the next grad_accum_steps of them; waits for nothing.
  template <BatchSource Source> void submit(const Source& train) {
    if (in_flight() == most_in_flight) {
      throw Error("Trainer::submit was called with " + std::to_string(most_in_flight) +
                  " steps in flight, which is as many as can be: call report() before");
    }
    const std::int64_t iteration = iteration_ + in_flight() + 1;
    fill_zero(ctx_, loss_alone());
    fill_zero(ctx_, gradient_sums());
    const int micro_batches = options_.grad_accum_steps;
    for (int micro = 0; micro < micro_batches; ++micro) {
      // Each has a number of its own over the whole run: its windows and masks depend on nothing else. With one per
      // iteration, that is the iteration's.
      draw(train, Purpose::training_batch, static_cast<std::uint64_t>((iteration - 1) * micro_batches + micro + 1),
           learning_rate(iteration));
      if (micro + 1 < micro_batches) {
        replay(ctx_, micro_batch_, [&] { accumulate(); });
      } else {
        replay(ctx_, last_batch_, [&] {
          accumulate();
          update();
        });
      }
    }
    copy_out_later(ctx_, outcome(iteration), &scalars().outcome);
    ++in_flight_;
  }

  /// What came of the oldest step in flight, once it is done.
  StepReport report() {
    if (in_flight() == 0) throw Error("Trainer::report was called with no step in flight: call submit() before");
    const Outcome came = outcome(iteration_ + 1).get();
    ++iteration_, --in_flight_;
    const double loss = static_cast<double>(came.loss);
    const bool finite = AdamW::finite(loss, came.norm);
    updates_ += finite;
    skipped_ += !finite;
    skipped_in_a_row_ = finite ? 0 : skipped_in_a_row_ + 1;
    return {iteration_, loss, came.norm, learning_rate(iteration_), !finite};
  }

  /// Both, for who has nothing else to do meanwhile.
  template <BatchSource Source> StepReport step(const Source& train) {
    expect_idle("step");
    submit(train);
    return report();
  }

  /// Mean loss in nats per token over options.eval_iters batches, the same batches at every call.
  template <BatchSource Source> double evaluate(const Source& data) {
    return *evaluate(data, [](int) { return true; });
  }

  /// The same; calls go_on(batches) after each batch, and ends without a result where that is false.
  template <BatchSource Source, class GoOn> std::optional<double> evaluate(const Source& data, GoOn&& go_on) {
    expect_idle("evaluate");
    fill_zero(ctx_, loss_alone());
    S loss{};
    for (int i = 0; i < options_.eval_iters; ++i) {
      draw(data, Purpose::validation_batch, static_cast<std::uint64_t>(i), 0);
      replay(ctx_, evaluation_, [&] {
        forward<M>(ctx_, read_weights(), activations(), ids(0));
        tinygpt::evaluate<M>(ctx_, &scalars().outcome.loss, read_weights(), activations(), ids(1),
                             loss_scale() / options_.eval_iters);
      });
      copy_out(ctx_, std::span<S>(&loss, 1), &scalars().outcome.loss);  // waits for the batch
      if (!go_on(i + 1)) return std::nullopt;
    }
    return static_cast<double>(loss);
  }

  const TrainOptions& options() const { return options_; }
  /// Steps submitted and not yet reported. What follows counts those that were reported.
  int in_flight() const { return in_flight_; }
  std::int64_t iteration() const { return iteration_; }
  std::int64_t updates() const { return updates_; }
  std::int64_t skipped() const { return skipped_; }
  int skipped_in_a_row() const { return skipped_in_a_row_; }

  // Arenas of M::params.arena_size() numbers in the backend's memory, laid out by M::params; writable, to restore a
  // checkpoint. The weights are those that updates are added to; resume_at() makes others of them for use.
  std::span<S> weights() { return expect_idle("weights"), masters(); }
  std::span<S> gradients() { return expect_idle("gradients"), gradient_sums(); }
  std::span<S> first_moments() { return expect_idle("first_moments"), moments(0); }
  std::span<S> second_moments() { return expect_idle("second_moments"), moments(1); }

  /// The weights as a Generator reads them: of element type E, rounded in bf16; they follow each update.
  std::span<const E> generation_weights() { return expect_idle("generation_weights"), elements(); }

  /// Goes on as if `iteration` iterations had been done, of which `updates` changed the weights.
  void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) {
    expect_idle("resume_at");
    iteration_ = iteration;
    updates_ = updates;
    copy_in(ctx_, &scalars().updates, std::span<const std::int64_t>(&updates, 1));
    skipped_ = skipped;
    skipped_in_a_row_ = 0;
    weights_changed();
  }

 private:
  static constexpr bool mixed = !std::is_same_v<E, S>;

  /// What changes from step to step and comes from the host, behind the batch.
  struct StepNumbers {
    AdamW adamw;
    std::uint64_t batch_number;
  };
  /// What the host wants to know of a step.
  struct Outcome {
    double norm;
    S loss;
  };
  /// In the backend's memory, so that recorded operations find it there.
  struct Scalars {
    StepNumbers numbers;
    Outcome outcome;
    std::int64_t updates;  ///< done: the host learns of the last one too late to count for it
  };

  /// Forward and backward on the batch that was drawn.
  void accumulate() {
    const auto dropout =
        DropoutPlan::at_rate(options_.dropout, options_.seed, {0, &scalars().numbers.batch_number}, M::config.ctx);
    forward<M>(ctx_, read_weights(), activations(), ids(0), dropout);
    backward<M>(ctx_, &scalars().outcome.loss, Params<M, S>(gradient_sums().data()), read_weights(), activations(),
                ids(0), ids(1), loss_scale() / options_.grad_accum_steps, dropout);
  }

  void update() {
    Scalars& here = scalars();
    global_norm(ctx_, &here.outcome.norm, gradient_sums());
    adamw(ctx_, elements(), mixed ? masters() : std::span<S>{}, moments(0), moments(1), &here.updates, gradient_sums(),
          &here.outcome.loss, &here.outcome.norm, &here.numbers.adamw);
  }

  /// The batch and the step's numbers, in one copy.
  template <BatchSource Source>
  void draw(const Source& source, Purpose purpose, std::uint64_t number, double learning_rate) {
    const auto in = [&](std::int64_t offset) {
      return std::span(reinterpret_cast<std::int32_t*>(input_.data() + offset), static_cast<std::size_t>(tokens()));
    };
    source.draw(in(0), in(size_.batch / 2), M::config.ctx, options_.seed, purpose, number);
    const AdamW hyper{learning_rate,         options_.beta1,     options_.beta2,       1e-8,
                      options_.weight_decay, options_.grad_clip, M::params.decay_end()};
    const StepNumbers numbers{hyper, number};
    std::memcpy(input_.data() + size_.batch, &numbers, sizeof numbers);
    copy_in(ctx_, after_activations(), std::span<const std::byte>(input_));
  }

  double learning_rate(std::int64_t iteration) const {
    return warmup_cosine(iteration, options_.warmup_iters, options_.max_iters, options_.learning_rate,
                         options_.min_learning_rate);
  }

  void expect_idle(const char* function) const {
    if (in_flight() == 0) return;
    throw Error(std::string("Trainer::") + function + " was called with a step in flight: call report() for it before");
  }

  void weights_changed() {
    if constexpr (mixed) convert(ctx_, elements(), masters());
  }

  template <class N> std::span<N> part(std::int64_t offset) {
    return {reinterpret_cast<N*>(memory_.data() + offset), static_cast<std::size_t>(M::params.arena_size())};
  }
  std::span<E> elements() { return part<E>(0); }
  std::span<S> masters() { return part<S>(mixed ? size_.weights : 0); }
  std::span<S> gradient_sums() { return part<S>(size_.weights + size_.masters); }
  /// 0: the first, 1: the second.
  std::span<S> moments(int which) {
    return part<S>(size_.weights + size_.masters + size_.gradients + which * (size_.moments / 2));
  }
  Params<M, const E> read_weights() { return Params<M, const E>(elements().data()); }
  std::byte* after_arenas() { return memory_.data() + size_.weights + size_.masters + size_.gradients + size_.moments; }
  Activations<M, E, S> activations() {
    using Views = Activations<M, E, S>;
    return {after_arenas(), Views::plan(options_.batch_size, M::config.ctx, options_.recompute), options_.batch_size,
            M::config.ctx};
  }
  std::byte* after_activations() { return after_arenas() + size_.activations; }
  /// 0: tokens, 1: targets.
  TokenIds ids(int which) {
    return TokenIds(reinterpret_cast<std::int32_t*>(after_activations() + which * (size_.batch / 2)),
                    options_.batch_size, M::config.ctx);
  }
  Scalars& scalars() { return *reinterpret_cast<Scalars*>(after_activations() + size_.batch); }
  std::span<S> loss_alone() { return {&scalars().outcome.loss, 1}; }
  /// Where the outcome of an iteration in flight comes to.
  auto& outcome(std::int64_t iteration) { return outcomes_[iteration % most_in_flight]; }

  std::int64_t tokens() const { return std::int64_t{options_.batch_size} * M::config.ctx; }
  double loss_scale() const { return 1.0 / static_cast<double>(tokens()); }

  Context& ctx_;
  TrainOptions options_;
  TrainMemory size_;
  decltype(allocate(std::declval<Context&>(), std::int64_t{})) memory_;
  std::vector<std::byte> input_;  ///< tokens, targets and StepNumbers, as the backend's memory has them
  typename Context::template Later<Outcome> outcomes_[most_in_flight];
  typename Context::Recording micro_batch_, last_batch_, evaluation_;
  std::int64_t iteration_ = 0, updates_ = 0, skipped_ = 0;
  int skipped_in_a_row_ = 0, in_flight_ = 0;
};

}  // namespace tinygpt

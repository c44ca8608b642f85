// The one place where the programs know a model's type: its trainer, generator and evaluator, behind their interfaces.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <tinygpt/cli/model.hpp>
#include <tinygpt/data/prefetcher.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/train/evaluator.hpp>

namespace tinygpt::cli {

/// Where a backend keeps its numbers.
enum class NumbersIn { host_memory, foreign_memory };

/// A Trainer of M on a backend, whose context is made from the arguments.
template <Architecture M, class Context, NumbersIn where> class TrainerOf final : public AnyTrainer {
 public:
  template <class... Arguments>
  explicit TrainerOf(const TrainOptions& options, Arguments&&... arguments)
      : ctx_(std::forward<Arguments>(arguments)...), trainer_(ctx_, options) {
    if constexpr (where == NumbersIn::foreign_memory) {
      memory_ = {[this](std::span<float> to, const float* from) { copy_out(ctx_, to, from); },
                 [this](float* to, std::span<const float> from) { copy_in(ctx_, to, from); }};
    }
  }

  void submit(const TokenStream& data) override { trainer_.submit(ahead_of(data)); }
  StepReport report() override { return trainer_.report(); }
  int in_flight() const override { return trainer_.in_flight(); }
  /// The host computes while it submits, so that a step ahead would gain nothing.
  int steps_ahead() const override { return where == NumbersIn::foreign_memory ? 1 : 0; }
  std::optional<double> evaluate(const TokenStream& data, const std::function<bool(int)>& go_on) override {
    return trainer_.evaluate(data, go_on);
  }
  const TrainOptions& options() const override { return trainer_.options(); }
  std::int64_t iteration() const override { return trainer_.iteration(); }
  std::int64_t updates() const override { return trainer_.updates(); }
  std::int64_t skipped() const override { return trainer_.skipped(); }
  int skipped_in_a_row() const override { return trainer_.skipped_in_a_row(); }
  std::span<float> weights() override { return trainer_.weights(); }
  std::span<float> first_moments() override { return trainer_.first_moments(); }
  std::span<float> second_moments() override { return trainer_.second_moments(); }
  const ForeignMemory* memory() override { return where == NumbersIn::foreign_memory ? &memory_ : nullptr; }
  void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) override {
    trainer_.resume_at(iteration, updates, skipped);
  }

 private:
  /// The batches of a stream, each fetched while the step before it runs.
  const Prefetcher& ahead_of(const TokenStream& data) {
    if (&data != ahead_of_) {
      ahead_.emplace(data);
      ahead_of_ = &data;
    }
    return *ahead_;
  }

  Context ctx_;
  Trainer<M, Context> trainer_;
  ForeignMemory memory_;
  std::optional<Prefetcher> ahead_;
  const TokenStream* ahead_of_ = nullptr;
};

/// Weights as a backend reads them. Those that are to lie elsewhere, or to have another type, are copied there, and
/// those that came are freed.
template <class Context, NumbersIn where> class WeightsOn {
  using E = typename Context::element;
  static constexpr bool copied = where == NumbersIn::foreign_memory || !std::is_same_v<E, float>;

 public:
  WeightsOn(Context& ctx, Arena<float> weights)
      : weights_(std::move(weights)),
        memory_(allocate(ctx, copied ? weights_.size() * static_cast<std::int64_t>(sizeof(E)) : 0)),
        there_(there(ctx, std::as_const(weights_).span())) {
    if (copied) weights_ = Arena<float>(0);
  }

  std::span<const E> span() const { return there_; }

 private:
  std::span<const E> there([[maybe_unused]] Context& ctx, std::span<const float> weights) {
    if constexpr (copied) {
      E* const first = reinterpret_cast<E*>(memory_.data());
      if constexpr (where == NumbersIn::host_memory) {
        convert(ctx, std::span<E>(first, weights.size()), weights);
        return {first, weights.size()};
      }
      std::vector<E> piece;
      for (std::size_t i = 0; i < weights.size(); i += piece.size()) {
        const auto from = weights.subspan(i, std::min<std::size_t>(weights.size() - i, 1 << 20));
        piece.assign(from.size(), E{});
        for (std::size_t k = 0; k < from.size(); ++k) piece[k] = static_cast<E>(from[k]);
        copy_in(ctx, first + i, std::span<const E>(piece));
      }
      return {first, weights.size()};
    } else {
      return weights;
    }
  }

  Arena<float> weights_;
  decltype(allocate(std::declval<Context&>(), std::int64_t{})) memory_;
  std::span<const E> there_;
};

/// A Generator of M on a backend, whose context is made from the arguments.
template <Architecture M, class Context, NumbersIn where> class GeneratorOf final : public AnyGenerator {
 public:
  template <class... Arguments>
  explicit GeneratorOf(Arena<float> weights, Batch<> batch, Arguments&&... arguments)
      : ctx_(std::forward<Arguments>(arguments)...),
        weights_(ctx_, std::move(weights)),
        generator_(ctx_, weights_.span(), batch) {}

  void generate(std::span<const std::vector<std::int32_t>> prompts, int max_new_tokens, const SampleOptions& options,
                const std::function<bool(std::size_t, std::int32_t)>& emit) override {
    generator_.generate(prompts, max_new_tokens, options, emit);
  }

 private:
  Context ctx_;
  WeightsOn<Context, where> weights_;
  Generator<M, Context> generator_;
};

/// An Evaluator of M on a backend, whose context is made from the arguments.
template <Architecture M, class Context, NumbersIn where> class EvaluatorOf final : public AnyEvaluator {
 public:
  template <class... Arguments>
  explicit EvaluatorOf(Arena<float> weights, Batch<> batch, Arguments&&... arguments)
      : ctx_(std::forward<Arguments>(arguments)...),
        weights_(ctx_, std::move(weights)),
        evaluator_(ctx_, weights_.span(), batch) {}

  double loss(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets) override {
    return evaluator_.loss(tokens, targets);
  }

 private:
  Context ctx_;
  WeightsOn<Context, where> weights_;
  Evaluator<M, Context> evaluator_;
};

}  // namespace tinygpt::cli

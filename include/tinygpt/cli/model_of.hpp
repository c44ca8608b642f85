// The one place where the programs know a model's type: its trainer and its generator, behind their interfaces.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include <tinygpt/cli/model.hpp>
#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/train/trainer.hpp>

namespace tinygpt::cli {

template <Architecture M> class TrainerOf final : public AnyTrainer {
 public:
  TrainerOf(int threads, const TrainOptions& options) : ctx_(threads), trainer_(ctx_, options) {}

  int threads() const override { return ctx_.threads(); }
  StepReport step(const TokenStream& data) override { return trainer_.step(data); }
  double evaluate(const TokenStream& data) override { return trainer_.evaluate(data); }
  const TrainOptions& options() const override { return trainer_.options(); }
  std::int64_t iteration() const override { return trainer_.iteration(); }
  std::int64_t updates() const override { return trainer_.updates(); }
  std::int64_t skipped() const override { return trainer_.skipped(); }
  int skipped_in_a_row() const override { return trainer_.skipped_in_a_row(); }
  std::span<float> weights() override { return trainer_.weights(); }
  std::span<float> first_moments() override { return trainer_.first_moments(); }
  std::span<float> second_moments() override { return trainer_.second_moments(); }
  void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) override {
    trainer_.resume_at(iteration, updates, skipped);
  }

 private:
  cpu::Context ctx_;
  Trainer<M, cpu::Context> trainer_;
};

template <Architecture M> class GeneratorOf final : public AnyGenerator {
 public:
  GeneratorOf(int threads, std::span<const float> weights) : ctx_(threads), generator_(ctx_, weights) {}

  void generate(std::span<const std::int32_t> prompt, int max_new_tokens, const SampleOptions& options,
                const std::function<bool(std::int32_t)>& emit) override {
    generator_.generate(prompt, max_new_tokens, options, emit);
  }

 private:
  cpu::Context ctx_;
  Generator<M, cpu::Context> generator_;
};

template <Architecture M> Model model_of() {
  return {M::config,
          [](int threads) {
            return cpu::train_workspace(M::config, M::config.ctx, threads > 0 ? threads : cpu::hardware_threads());
          },
          [](int threads, const TrainOptions& options) -> std::unique_ptr<AnyTrainer> {
            return std::make_unique<TrainerOf<M>>(threads, options);
          },
          [](int threads, std::span<const float> weights) -> std::unique_ptr<AnyGenerator> {
            return std::make_unique<GeneratorOf<M>>(threads, weights);
          }};
}

}  // namespace tinygpt::cli

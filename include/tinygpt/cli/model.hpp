// A model as the commands see it: its type is forgotten here, so that the commands are compiled once for all models.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include <tinygpt/data/token_stream.hpp>
#include <tinygpt/generate/sampler.hpp>
#include <tinygpt/train/trainer.hpp>

namespace tinygpt::cli {

/// A Trainer of some model, with the threads that it trains on. A virtual call a step costs nothing beside the step.
class AnyTrainer {
 public:
  virtual ~AnyTrainer() = default;
  virtual int threads() const = 0;
  virtual StepReport step(const TokenStream& data) = 0;
  virtual double evaluate(const TokenStream& data) = 0;
  virtual const TrainOptions& options() const = 0;
  virtual std::int64_t iteration() const = 0;
  virtual std::int64_t updates() const = 0;
  virtual std::int64_t skipped() const = 0;
  virtual int skipped_in_a_row() const = 0;
  virtual std::span<float> weights() = 0;
  virtual std::span<float> first_moments() = 0;
  virtual std::span<float> second_moments() = 0;
  virtual void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) = 0;
};

/// A Generator of some model, with the threads that it runs on.
class AnyGenerator {
 public:
  virtual ~AnyGenerator() = default;
  virtual void generate(std::span<const std::int32_t> prompt, int max_new_tokens, const SampleOptions& options,
                        const std::function<bool(std::int32_t)>& emit) = 0;
};

/// What the commands need of a model's type. `threads`: 0 for as many as the machine has.
struct Model {
  Config config;
  std::int64_t (*train_workspace)(int threads);  ///< bytes that the backend takes beside the arenas
  std::unique_ptr<AnyTrainer> (*trainer)(int threads, const TrainOptions& options);
  std::unique_ptr<AnyGenerator> (*generator)(int threads, std::span<const float> weights);
};

}  // namespace tinygpt::cli

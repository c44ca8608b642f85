// A model as the commands see it: its type is forgotten here, so that the commands are compiled once for all models.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <tinygpt/data/token_stream.hpp>
#include <tinygpt/generate/sampler.hpp>
#include <tinygpt/io/safetensors.hpp>
#include <tinygpt/layout/arena.hpp>
#include <tinygpt/train/trainer.hpp>

namespace tinygpt::cli {

/// How a backend is to do its work.
struct Execution {
  int threads = 0;                ///< of the cpu; 0 for as many as the machine has
  Precision precision = float32;  ///< of weights and activations
  int device = 0;                 ///< of the GPUs, as CUDA counts
};

/// A Trainer of some model on some backend. A virtual call a step costs nothing beside the step.
class AnyTrainer {
 public:
  virtual ~AnyTrainer() = default;
  // As Trainer has them; `steps_ahead` is how many more may be submitted, to gain time, before the oldest is reported.
  // `data` must outlive the trainer and stay as they are.
  virtual void submit(const TokenStream& data) = 0;
  virtual StepReport report() = 0;
  virtual int in_flight() const = 0;
  virtual int steps_ahead() const = 0;
  virtual std::optional<double> evaluate(const TokenStream& data, const std::function<bool(int)>& go_on) = 0;
  virtual const TrainOptions& options() const = 0;
  virtual std::int64_t iteration() const = 0;
  virtual std::int64_t updates() const = 0;
  virtual std::int64_t skipped() const = 0;
  virtual int skipped_in_a_row() const = 0;
  // Arenas laid out by the model's parameter table, in `memory`, which is null where that is the host's.
  virtual std::span<float> weights() = 0;
  virtual std::span<float> first_moments() = 0;
  virtual std::span<float> second_moments() = 0;
  virtual const ForeignMemory* memory() = 0;
  virtual void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) = 0;
};

/// A Generator of some model on some backend.
class AnyGenerator {
 public:
  virtual ~AnyGenerator() = default;
  virtual void generate(std::span<const std::vector<std::int32_t>> prompts, int max_new_tokens,
                        const SampleOptions& options, const std::function<bool(std::size_t, std::int32_t)>& emit) = 0;
};

/// An Evaluator of some model on some backend.
class AnyEvaluator {
 public:
  virtual ~AnyEvaluator() = default;
  virtual double loss(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets) = 0;
};

/// What a backend does with one model. Bytes are those that it takes beside the arenas.
struct ModelOn {
  std::int64_t (*train_workspace)(const Execution&, int batch_size);
  std::unique_ptr<AnyTrainer> (*trainer)(const Execution&, const TrainOptions& options);
  std::unique_ptr<AnyGenerator> (*generator)(const Execution&, Arena<float> weights, Batch<> batch);
  std::unique_ptr<AnyEvaluator> (*evaluator)(const Execution&, Arena<float> weights, Batch<> batch) = nullptr;
};

/// A graphics card, or why there is none to be used.
struct Gpu {
  std::string why_not;               ///< empty where there is one
  std::string name;                  ///< "NVIDIA H200"
  std::int64_t total = 0, free = 0;  ///< bytes of its memory
  bool bf16 = false;                 ///< has matrix units for it
  double peak_flops = 0;             ///< dense bf16 products per second, a multiply-add counted as two; 0: not known
};

/// A model on graphics cards, and the question which there are.
struct ModelOnGpu : ModelOn {
  Gpu (*find)(int device);
};

/// What the cpu backend was compiled for.
struct CpuBuild {
  const char* vectors = "";      ///< "AVX-512"
  bool multiplies_bf16 = false;  ///< else that is done in float32, at no gain but memory
  std::string onednn;            ///< the version that multiplies large matrices; empty where the own products do
  bool optimised = true;         ///< by the compiler

  /// What it trains and generates in, unless it is told otherwise.
  Precision precision() const { return multiplies_bf16 ? bf16 : float32; }
};

/// What the commands need of a model's type.
struct Model {
  Config config;
  ModelOn cpu;
  CpuBuild cpu_build;
  const ModelOnGpu* gpu = nullptr;  ///< null in a program that was built without CUDA
};

}  // namespace tinygpt::cli

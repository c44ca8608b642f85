// A model's type on the gpu backend, for the commands. Twin of cli/model_of.hpp; the programs compile it with nvcc.
#pragma once

#include <utility>

#include <tinygpt/cli/trainer_of.hpp>
#include <tinygpt/gpu/gpu.cuh>

namespace tinygpt::cli {

/// The card as the commands see it.
inline Gpu find_gpu(int device) {
  const gpu::Device found = gpu::find_device(device);
  return {found.why_not, found.name, found.total, found.free, found.bf16, found.peak_flops};
}

/// M in one of the two precisions. Both are compiled, as only the run knows what the card has.
template <Architecture M, class E> struct OnGpu {
  using Context = gpu::Context<E>;

  static std::int64_t train_workspace(const Execution&, int batch_size) {
    return gpu::train_workspace(M::config, batch_size, M::config.ctx);
  }
  static std::unique_ptr<AnyTrainer> trainer(const Execution& how, const TrainOptions& options) {
    return std::make_unique<TrainerOf<M, Context, NumbersIn::foreign_memory>>(options, how.device,
                                                                              train_workspace(how, options.batch_size));
  }
  static std::unique_ptr<AnyGenerator> generator(const Execution& how, Arena<float> weights, Batch<> batch) {
    return std::make_unique<GeneratorOf<M, Context, NumbersIn::foreign_memory>>(
        std::move(weights), batch, how.device, gpu::generate_workspace(M::config, batch.size));
  }
  static std::unique_ptr<AnyEvaluator> evaluator(const Execution& how, Arena<float> weights, Batch<> batch) {
    return std::make_unique<EvaluatorOf<M, Context, NumbersIn::foreign_memory>>(std::move(weights), batch, how.device,
                                                                                train_workspace(how, batch.size));
  }
};

template <Architecture M> const ModelOnGpu& gpu_model_of() {
  using Half = OnGpu<M, bfloat16>;
  using Single = OnGpu<M, float>;
  static const ModelOnGpu model{{Single::train_workspace,
                                 [](const Execution& how, const TrainOptions& options) {
                                   return how.precision == bf16 ? Half::trainer(how, options)
                                                                : Single::trainer(how, options);
                                 },
                                 [](const Execution& how, Arena<float> weights, Batch<> batch) {
                                   return how.precision == bf16 ? Half::generator(how, std::move(weights), batch)
                                                                : Single::generator(how, std::move(weights), batch);
                                 },
                                 [](const Execution& how, Arena<float> weights, Batch<> batch) {
                                   return how.precision == bf16 ? Half::evaluator(how, std::move(weights), batch)
                                                                : Single::evaluator(how, std::move(weights), batch);
                                 }},
                                find_gpu};
  return model;
}

}  // namespace tinygpt::cli

// A model's type on the cpu backend, for the commands.
#pragma once

#include <utility>

#include <tinygpt/cli/trainer_of.hpp>
#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli {

/// M in one of the two precisions.
template <Architecture M, class E> struct OnCpu {
  using Context = cpu::BasicContext<E>;

  static std::unique_ptr<AnyTrainer> trainer(const Execution& how, const TrainOptions& options) {
    return std::make_unique<TrainerOf<M, Context, NumbersIn::host_memory>>(options, how.threads);
  }
  static std::unique_ptr<AnyGenerator> generator(const Execution& how, Arena<float> weights, Batch<> batch) {
    return std::make_unique<GeneratorOf<M, Context, NumbersIn::host_memory>>(std::move(weights), batch, how.threads);
  }
  static std::unique_ptr<AnyEvaluator> evaluator(const Execution& how, Arena<float> weights, Batch<> batch) {
    return std::make_unique<EvaluatorOf<M, Context, NumbersIn::host_memory>>(std::move(weights), batch, how.threads);
  }
};

template <Architecture M> Model model_of(const ModelOnGpu* gpu = nullptr) {
  using Half = OnCpu<M, bfloat16>;
  using Single = OnCpu<M, float>;
  const ModelOn on_cpu{[](const Execution& how, int) {
                         const int threads = how.threads > 0 ? how.threads : hardware_threads();
                         return cpu::train_workspace(M::config, M::config.ctx, threads);
                       },
                       [](const Execution& how, const TrainOptions& options) {
                         return how.precision == bf16 ? Half::trainer(how, options) : Single::trainer(how, options);
                       },
                       [](const Execution& how, Arena<float> weights, Batch<> batch) {
                         return how.precision == bf16 ? Half::generator(how, std::move(weights), batch)
                                                      : Single::generator(how, std::move(weights), batch);
                       },
                       [](const Execution& how, Arena<float> weights, Batch<> batch) {
                         return how.precision == bf16 ? Half::evaluator(how, std::move(weights), batch)
                                                      : Single::evaluator(how, std::move(weights), batch);
                       }};
#if defined(__OPTIMIZE__)
  constexpr bool optimised = true;
#else
  constexpr bool optimised = false;
#endif
  return {M::config, on_cpu, {cpu::vector_name, cpu::multiplies_bf16, cpu::onednn::version(), optimised}, gpu};
}

}  // namespace tinygpt::cli

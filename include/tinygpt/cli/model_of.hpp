// A model's type on the cpu backend, for the commands.
#pragma once

#include <tinygpt/cli/trainer_of.hpp>
#include <tinygpt/cpu/cpu.hpp>

namespace tinygpt::cli {

template <Architecture M> Model model_of(const ModelOnGpu* gpu = nullptr) {
  using Context = cpu::Context;
  const ModelOn on_cpu{[](const Execution& how, int) {
                         const int threads = how.threads > 0 ? how.threads : cpu::hardware_threads();
                         return cpu::train_workspace(M::config, M::config.ctx, threads);
                       },
                       [](const Execution& how, const TrainOptions& options) -> std::unique_ptr<AnyTrainer> {
                         return std::make_unique<TrainerOf<M, Context, NumbersIn::host_memory>>(options, how.threads);
                       },
                       [](const Execution& how, std::span<const float> weights) -> std::unique_ptr<AnyGenerator> {
                         return std::make_unique<GeneratorOf<M, Context, NumbersIn::host_memory>>(weights, how.threads);
                       }};
  return {M::config, on_cpu, gpu};
}

}  // namespace tinygpt::cli

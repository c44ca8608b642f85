// A model's type on the gpu backend, for the commands. Twin of cli/model_of.hpp; the programs compile it with nvcc.
#pragma once

#include <tinygpt/cli/trainer_of.hpp>
#include <tinygpt/gpu/devices.cuh>
#include <tinygpt/gpu/gpu.cuh>

namespace tinygpt::cli {

/// The card as the commands see it.
inline Gpu find_gpu(int device) {
  const gpu::Device found = gpu::find(device);
  return {found.why_not, found.name, found.total, found.free, found.bf16, found.peak_flops};
}

template <Architecture M> const ModelOnGpu& gpu_model_of() {
  constexpr auto workspace = [](int batch_size) { return gpu::train_workspace(M::config, batch_size, M::config.ctx); };
  // Both precisions are compiled, as the card, which only the run knows, may have one of them.
  static const ModelOnGpu model{
      {[](const Execution&, int batch_size) { return workspace(batch_size); },
       [](const Execution& how, const TrainOptions& options) -> std::unique_ptr<AnyTrainer> {
         const auto on = [&]<class E>(E) -> std::unique_ptr<AnyTrainer> {
           return std::make_unique<TrainerOf<M, gpu::Context<E>, NumbersIn::foreign_memory>>(
               options, how.device, workspace(options.batch_size));
         };
         return how.precision == bf16 ? on(bfloat16{}) : on(float{});
       },
       [](const Execution& how, std::span<const float> weights) -> std::unique_ptr<AnyGenerator> {
         const auto on = [&]<class E>(E) -> std::unique_ptr<AnyGenerator> {
           return std::make_unique<GeneratorOf<M, gpu::Context<E>, NumbersIn::foreign_memory>>(
               weights, how.device, gpu::generate_workspace(M::config));
         };
         return how.precision == bf16 ? on(bfloat16{}) : on(float{});
       }},
      find_gpu};
  return model;
}

}  // namespace tinygpt::cli

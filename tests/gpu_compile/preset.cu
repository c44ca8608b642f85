// The gpu part of two programs, a classic model and a modern one, as cmake/preset_gpu.cu.in makes it: that it compiles
// for every architecture without a warning is the test.
#include <tinygpt/cli/gpu_model_of.cuh>
#include <tinygpt/presets/classic.hpp>
#include <tinygpt/presets/modern.hpp>

const tinygpt::cli::ModelOnGpu& classic_model() {
  return tinygpt::cli::gpu_model_of<tinygpt::presets::tiny_char>();
}
const tinygpt::cli::ModelOnGpu& modern_model() {
  return tinygpt::cli::gpu_model_of<tinygpt::presets::modern_180M>();
}

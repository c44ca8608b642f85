// The program of a preset: one main() for all of them.
//
//   int main(int argc, char** argv) {
//     return tinygpt::cli::main<Model>("my_model", {.batch_size = 8, .learning_rate = 3e-4}, argc, argv);
//   }
#pragma once

#include <string>
#include <string_view>

#include <tinygpt/cli/model_of.hpp>
#include <tinygpt/cli/program.hpp>
#if !defined(TINYGPT_CLI_COMPILED)
#  include <tinygpt/cli/run.hpp>
#endif

namespace tinygpt::cli {

#if defined(TINYGPT_CLI_COMPILED)
/// The same as run(), from the library tinygpt-cli.
int run_compiled(const Program& program, const Model& model, int argc, char** argv);
#endif

/// The whole program of a model: `name` is what it is called, such as "tiny_char"; `defaults` is how it is trained
/// where the command line says nothing; `label` is the size that documents give it, where they do; `gpu` is the model on
/// the gpu backend, from cli/gpu_model_of.cuh, where the program has it.
template <Architecture M>
int main(std::string_view name, const TrainOptions& defaults, int argc, char** argv, std::string_view label = {},
         const ModelOnGpu* gpu = nullptr) {
  const Program program{std::string(name), argc > 0 ? argv[0] : "tinygpt-" + std::string(name), std::string(label),
                        defaults};
#if defined(TINYGPT_CLI_COMPILED)
  return run_compiled(program, model_of<M>(gpu), argc, argv);
#else
  return run(program, model_of<M>(gpu), argc, argv);
#endif
}

}  // namespace tinygpt::cli

// The library tinygpt-cli: the commands of every model's program, compiled once.
#include <tinygpt/cli/run.hpp>

namespace tinygpt::cli {

int run_compiled(const Program& program, const Model& model, int argc, char** argv) {
  return run(program, model, argc, argv);
}

}  // namespace tinygpt::cli

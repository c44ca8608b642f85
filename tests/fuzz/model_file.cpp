// Any bytes as a JSON config: a list of mistakes, or a model whose parameters and memory can be counted, that comes
// back from the file that is written for it.
#include <cstdlib>

#include <tinygpt/io/model_file.hpp>
#include <tinygpt/layout/memory.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ModelFile file = parse_model_file(std::string_view(reinterpret_cast<const char*>(data), size));
  for (const Mistake& mistake : file.mistakes) {
    if (mistake.what.empty() || mistake.line < 1) std::abort();
  }
  if (!file.mistakes.empty()) return 0;
  const Config& c = file.config;
  const TrainOptions& t = file.training;
  if (ParamTable(c).param_count() < 1) std::abort();
  for (const Recompute recompute : {Recompute::none, Recompute::activations, Recompute::blocks}) {
    for (const Precision precision : {float32, bf16}) {
      if (train_memory(c, Batch{t.batch_size}, Time{c.ctx}, precision, recompute).total() < 1) std::abort();
    }
  }
  if (!model_file_can_say(c)) std::abort();
  const ModelFile again = parse_model_file(model_file_json("name", c, t).dump());
  if (!again.mistakes.empty() || again.config != c || again.training.batch_size != t.batch_size) std::abort();
  return 0;
}

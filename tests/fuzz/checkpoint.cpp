// Any bytes as manifest.json and trainer_state.json of a checkpoint: refused by a sentence, or a state whose every
// option could have been given as a flag, that comes back from the file that is written for it.
//
// The manifest reaches to the first zero byte. As no fuzzer guesses a checksum, the state is read without it, too.
#include <cstdlib>

#include <tinygpt/io/model_files.hpp>
#include <tinygpt/io/trainer_state.hpp>

#include "files_in_memory.hpp"
#include "fuzz_input.hpp"

using namespace tinygpt;

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

void check(const TrainerState& s) {
  const TrainOptions& o = s.options;
  expect(s.updates >= 0 && s.skipped >= 0 && s.iteration >= 0 && s.iteration - s.updates == s.skipped);
  expect(s.windows_drawn >= 0 && s.checkpoint_interval >= 1);
  expect(o.max_iters >= 1 && o.eval_interval >= 1 && o.warmup_iters >= 0);
  for (const int count : {o.batch_size, o.grad_accum_steps, o.eval_iters}) expect(count >= 1 && count <= 1'000'000);
  for (const double below_one : {o.dropout, o.beta1, o.beta2}) expect(below_one >= 0 && below_one < 1);
  for (const double number : {o.min_learning_rate, o.weight_decay, o.grad_clip}) expect(number >= 0 && number <= 1e30);
  expect(o.learning_rate > 0 && o.learning_rate <= 1e30);
  const std::string text = json_text(trainer_state_to_json(s));
  expect(json_text(trainer_state_to_json(trainer_state_from_json(parse_json(text, "again"), "again"))) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const FilesInMemory files({"manifest.json", "trainer_state.json"});
  FuzzInput input(data, size);
  files.write(0, input.up_to('\0'));
  files.write(1, input.rest());
  try {
    const ModelReader reader(files.path);
    reader.has("trainer_state.json");
    check(trainer_state_from_json(reader.json("trainer_state.json"), "trainer_state.json"));
  } catch (const Error&) {
  }
  try {
    check(trainer_state_from_json(parse_json(input.rest(), "trainer_state.json"), "trainer_state.json"));
  } catch (const Error&) {
  }
  return 0;
}

// A checkpoint of format_version 1, from before model directories had transformers' layout. tests/golden/checkpoint_1
// was written by save_checkpoint() of commit 3286f70, with 1/8, 2/8, 3/8, ... for the parameters and both moments in
// turn.
#include <catch.hpp>

#include <tinygpt/io/checkpoint.hpp>

using namespace tinygpt;

TEST_CASE("a checkpoint of format_version 1 still loads, to the last number") {
  Config config{.layers = 2, .embd = 4, .query_heads = 2, .kv_heads = 2, .ctx = 3, .head_dim = 2, .vocab = 5, .ffn = 3};
  config.bias = attn_in;
  config.head = untied;
  const ParamTable table(config);
  const std::filesystem::path directory = TINYGPT_SOURCE_DIR "/tests/golden/checkpoint_1";

  std::vector<float> expected[3], read[3];
  float next = 1;
  for (auto& arena : expected) {
    arena.resize(static_cast<std::size_t>(table.arena_size()));
    for (const auto& tensor : stacked_tensors(table)) {
      for (const ArenaMatrix& part : tensor.parts) {
        for (std::int64_t i = 0; i < part.size(); ++i) arena[static_cast<std::size_t>(part.offset + i)] = next++ / 8;
      }
    }
  }
  for (auto& arena : read) arena.resize(expected[0].size());
  CHECK(load_model(directory, config, read[0]) == Tokenizer::characters("abc\n"));
  load_moments(directory, config, read[1], read[2]);
  for (int i = 0; i < 3; ++i) CHECK(read[i] == expected[i]);
  const TrainerState state = load_trainer_state(directory, config);
  CHECK(state.iteration == 12);
  CHECK(state.options.learning_rate == 0.125);
  CHECK(state.windows_drawn == 192);

  const LoadedModel model = read_model_directory(directory);
  CHECK(model.config == config);
  CHECK(model.name == "old");
  CHECK(model.weights == expected[0]);
}

// Checkpoints and numbers that are not finite; which checkpoints are kept; what a trainer's state may say.
#include <fstream>
#include <limits>

#include <catch.hpp>
#include <scratch.hpp>
#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

using Small = GPT<Layers<2>, Embd<6>, Heads<2>, Ctx<5>, Vocab<11>>;

std::vector<float> ones() { return std::vector<float>(static_cast<std::size_t>(Small::params.arena_size()), 1.0f); }

TrainerState at(std::int64_t iteration, std::optional<std::int64_t> best = {}) {
  TrainerState state;
  state.iteration = state.updates = iteration;
  state.checkpoint_interval = 1;
  state.best_step = best;
  return state;
}

void save(const RunDirectory& run, std::int64_t step, std::optional<std::int64_t> best = {}) {
  const auto w = ones();
  save_checkpoint(run.step_path(step), "test", Small::config, Tokenizer::characters("abc"), {w, w, w}, at(step, best));
}

}  // namespace

TEST_CASE("the tensor with a number that is not finite is named, in any place and in foreign memory") {
  const ForeignMemory memory{[](std::span<float> to, const float* from) { std::copy_n(from, to.size(), to.data()); },
                             {}};
  for (const ParamRow& row : Small::params) {
    for (int l = 0; l < row.layers; ++l) {
      for (const std::int64_t i : {std::int64_t{0}, row.layer_size() - 1}) {
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
          auto arena = ones();
          CHECK(first_not_finite(Small::config, arena).empty());
          arena[static_cast<std::size_t>(row.offset + l * row.stride + i)] = bad;
          CHECK(first_not_finite(Small::config, arena) == row.name);
          CHECK(first_not_finite(Small::config, arena, &memory) == row.name);
          const auto good = ones();
          CHECK(first_not_finite(Small::config, CheckpointView{good, good, arena}) ==
                "second_moment." + std::string(row.name));
        }
      }
    }
  }
  auto large = ones();
  large[0] = std::numeric_limits<float>::max();
  large[1] = std::numeric_limits<float>::denorm_min();
  CHECK(first_not_finite(Small::config, large).empty());
}

TEST_CASE("a checkpoint that is not finite is passed over for the one before it") {
  const ScratchDirectory scratch;
  const RunDirectory run(scratch.path);
  save(run, 1);
  auto bad = ones();
  bad[3] = std::numeric_limits<float>::quiet_NaN();
  const auto good = ones();
  for (const int which : {0, 1, 2}) {
    const auto pick = [&](int i) { return std::span<const float>(i == which ? bad : good); };
    save_checkpoint(run.step_path(2), "test", Small::config, Tokenizer::characters("abc"), {pick(0), pick(1), pick(2)},
                    at(2));
    std::string warned;
    auto into = ones(), more = ones();
    const auto taken = load_newest(
        scratch.path,
        [&](const std::filesystem::path& path) {
          load_model(path, Small::config, into);
          load_moments(path, Small::config, into, more);
          return path;
        },
        [&](const char* sentence) { warned = sentence; });
    CHECK(taken == run.step_path(1));
    CHECK_THAT(warned, Contains("step-000002") && Contains("not finite") && Contains("token_embedding"));
  }
}

TEST_CASE("the newest two are kept, the best, and none of a future that was gone back from") {
  const ScratchDirectory scratch;
  const RunDirectory run(scratch.path);
  for (const int step : {10, 20, 30, 40, 50}) save(run, step);
  run.prune(2, 50, 10);
  CHECK(run.steps() == std::vector<std::int64_t>{50, 40, 10});
  save(run, 42);  // resumed from 40, as 50 could not be used
  run.prune(2, 42, 10);
  CHECK(run.steps() == std::vector<std::int64_t>{42, 40, 10});
  run.prune(1);
  CHECK(run.steps() == std::vector<std::int64_t>{42});
}

TEST_CASE("the best checkpoint is the one that the newest readable state names") {
  const ScratchDirectory scratch;
  const RunDirectory run(scratch.path);
  CHECK_THROWS_WITH(best_checkpoint(scratch.path), Contains("holds no checkpoint of a run"));
  save(run, 10);
  CHECK_THROWS_WITH(best_checkpoint(scratch.path), Contains("does not say"));
  save(run, 20, 10);
  save(run, 30, 20);
  CHECK(best_checkpoint(scratch.path) == run.step_path(20));
  std::ofstream(run.step_path(30) / "trainer_state.json") << "{";
  CHECK(best_checkpoint(scratch.path) == run.step_path(10));
  std::filesystem::remove_all(run.step_path(10));
  CHECK_THROWS_WITH(best_checkpoint(scratch.path), Contains("no longer there"));
}

TEST_CASE("what a run keeps survives JSON, names of any bytes included") {
  TrainerState state = at(7, 5);
  state.precision = bf16;
  state.patience = 3;
  state.without_improvement = 2;
  state.last_evaluation = 6;
  state.options.eval_interval = 0;
  state.eval_datasets = {{"a", "dir/\xE9"}, {"b", "plain"}};
  const TrainerState back = trainer_state_from_json(Json::parse(json_text(trainer_state_to_json(state))), "x");
  CHECK(trainer_state_to_json(back) == trainer_state_to_json(state));
  CHECK(back.eval_datasets == state.eval_datasets);
  CHECK(back.precision == bf16);
  CHECK(back.best_step == 5);
}

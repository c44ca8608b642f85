// The programs' training loop with a backend that is given a step ahead, as a GPU is: whatever the host does between
// two steps (evaluations, checkpoints, an end by Ctrl-C) happens at the same iterations and with the same numbers.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <sstream>
#include <string>

#include <catch.hpp>
#include <tinygpt/cli/train.hpp>
#include <tinygpt/cli/trainer_of.hpp>
#include <tinygpt/cpu/cpu.hpp>

using namespace tinygpt;

namespace {

using Tiny = GPT<Layers<1>, Embd<16>, Heads<2>, Ctx<16>, Vocab<64>>;

int ahead = 0;           ///< how many steps a trainer is given before the oldest is reported
int interrupt_at = 0;    ///< the submitted step during which Ctrl-C comes; 0: none
int most_in_flight = 0;  ///< ever seen

/// A Trainer on the cpu that wants to be given steps ahead.
class Eager final : public cli::AnyTrainer {
 public:
  explicit Eager(const TrainOptions& options) : trainer_(options, 1) {}

  void submit(const TokenStream& data) override {
    trainer_.submit(data);
    most_in_flight = std::max(most_in_flight, in_flight());
    if (iteration() + in_flight() == interrupt_at) std::raise(SIGINT);
  }
  StepReport report() override { return trainer_.report(); }
  int in_flight() const override { return trainer_.in_flight(); }
  int steps_ahead() const override { return ahead; }
  std::optional<double> evaluate(const TokenStream& data, const std::function<bool(int)>& go_on) override {
    return trainer_.evaluate(data, go_on);
  }
  const TrainOptions& options() const override { return trainer_.options(); }
  std::int64_t iteration() const override { return trainer_.iteration(); }
  std::int64_t updates() const override { return trainer_.updates(); }
  std::int64_t skipped() const override { return trainer_.skipped(); }
  int skipped_in_a_row() const override { return trainer_.skipped_in_a_row(); }
  std::span<float> weights() override { return trainer_.weights(); }
  std::span<float> first_moments() override { return trainer_.first_moments(); }
  std::span<float> second_moments() override { return trainer_.second_moments(); }
  const ForeignMemory* memory() override { return nullptr; }
  void resume_at(std::int64_t iteration, std::int64_t updates, std::int64_t skipped) override {
    trainer_.resume_at(iteration, updates, skipped);
  }

 private:
  cli::TrainerOf<Tiny, cpu::Context, cli::NumbersIn::host_memory> trainer_;
};

const cli::Model model{Tiny::config,
                       {[](const cli::Execution&, int) { return std::int64_t{0}; },
                        [](const cli::Execution&, const TrainOptions& options) -> std::unique_ptr<cli::AnyTrainer> {
                          return std::make_unique<Eager>(options);
                        },
                        nullptr},
                       {}};

const std::filesystem::path folder = std::filesystem::temp_directory_path() / "tinygpt-train-ahead";

std::string contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// All files that a run has left, but for how fast it was.
std::map<std::string, std::string> files_of(const std::filesystem::path& run) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run)) {
    if (!entry.is_regular_file()) continue;
    const std::string text = contents(entry.path());
    files[entry.path().lexically_relative(run)] =
        std::regex_replace(text, std::regex("\"(tokens_per_second|time|elapsed)\":[0-9.]+"), "");
  }
  return files;
}

cli::Exit train(const std::string& name, int steps_ahead, int interrupted_step, bool resume = false) {
  ahead = steps_ahead, interrupt_at = interrupted_step;
  cli::TrainFlags flags;
  flags.input_file = folder / "text.txt";
  flags.out = folder / name;
  flags.resume = resume;
  flags.checkpoint_interval = 5;
  const cli::Program program{
      "tiny",
      "tiny",
      "",
      {.max_iters = 17, .batch_size = 2, .warmup_iters = 3, .dropout = 0.1, .eval_interval = 4, .eval_iters = 2}};
  return cli::train(program, model, flags);
}

struct Folder {
  Folder() {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    std::ofstream text(folder / "text.txt");
    for (int i = 0; i < 300; ++i) text << "line " << i << " of the text\n";
  }
  ~Folder() { std::filesystem::remove_all(folder); }
};

}  // namespace

TEST_CASE("a run that is given steps ahead leaves the files of one that is not") {
  const Folder made;
  most_in_flight = 0;
  CHECK(train("by_one", 0, 0) == cli::Exit::done);
  CHECK(most_in_flight == 1);
  CHECK(train("ahead", 1, 0) == cli::Exit::done);
  CHECK(most_in_flight == 2);
  const auto files = files_of(folder / "by_one");
  CHECK(files.size() > 4);
  CHECK(files_of(folder / "ahead") == files);
}

TEST_CASE("Ctrl-C ends a run ahead after the steps that were submitted, and it goes on to the same end") {
  const Folder made;
  CHECK(train("whole", 1, 0) == cli::Exit::done);
  // Steps 7 and 13 are submitted while the one before them runs, 5 and 9 are the first after a checkpoint or an
  // evaluation.
  for (const int step : {5, 6, 7, 9, 13, 16}) {
    INFO("Ctrl-C during step " << step);
    const std::string name = "stopped_at_" + std::to_string(step);
    CHECK(train(name, 1, step) == static_cast<cli::Exit>(128 + SIGINT));
    CHECK(std::filesystem::exists(RunDirectory(folder / name).step_path(step)));
    CHECK(train(name, 1, 0, /*resume*/ true) == cli::Exit::done);
    const auto whole = files_of(RunDirectory(folder / "whole").step_path(17)),
               resumed = files_of(RunDirectory(folder / name).step_path(17));
    CHECK(resumed == whole);
  }
}

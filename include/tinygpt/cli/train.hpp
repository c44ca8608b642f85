// train: from a text or a dataset to a model directory, step by step, so that it can be stopped anywhere.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <tinygpt/cli/memory.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/train_data.hpp>
#include <tinygpt/cli/train_flags.hpp>
#include <tinygpt/cli/train_report.hpp>
#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/io/run_directory.hpp>

namespace tinygpt::cli {

/// A new run must not begin where another model lies, nor go on where none does.
inline void check_out(const RunDirectory& run, const TrainFlags& flags) {
  const auto& path = run.path();
  if (std::filesystem::exists(path) && !std::filesystem::is_directory(path)) {
    throw Error(path.string() + " is a file: give a directory with --out");
  }
  const auto steps = run.steps();
  if (flags.resume && steps.empty()) {
    throw Error("there is no checkpoint in " + path.string() + " to go on from: leave --resume out, or check --out");
  }
  if (!flags.resume && (!steps.empty() || std::filesystem::exists(path / "config.json"))) {
    throw Error(path.string() + " already holds a model" +
                (steps.empty() ? "" : " at step " + std::to_string(steps.front())) +
                ": add --resume to go on with it, or give another directory with --out");
  }
}

/// The command that goes on with a run.
inline std::string resume_command(const Program& program, const TrainFlags& flags) {
  std::string data = flags.input_file.empty() ? " --dataset-dir " + shell_quoted(flags.dataset_dir)
                                              : " --input-file " + shell_quoted(flags.input_file);
  for (const auto& [name, directory] : flags.eval_datasets) {
    data += " --eval-dataset-dir " + shell_quoted(name + ":" + directory);
  }
  return shell_quoted(program.command) + " train" + data + " --out " + shell_quoted(flags.out) + " --resume" +
         flags_text(flags.backend);
}

/// A run from its first iteration to its last, or to whatever ends it earlier.
class TrainingRun {
 public:
  TrainingRun(const Program& program, const Model& model, const TrainFlags& flags)
      : program_(program),
        model_(model),
        flags_(flags),
        backend_(choose(model, flags.backend)),
        memory_(expected_memory()),
        run_(flags.out),
        data_(open_train_data(flags, model.config, trained_on())) {
    run_.lock();
    if (flags.resume)
      restore();
    else
      begin();
    run_.cut_metrics(trainer_->iteration());
  }

  Exit run() {
    if (trainer_->iteration() >= options().max_iters) {
      std::printf("%s has all of its %s iterations: give a larger --max-iters to go on\n",
                  run_.step_path(trainer_->iteration()).c_str(), grouped(options().max_iters).c_str());
      return Exit::done;
    }
    announce();
    Metrics metrics(run_.path() / "metrics.jsonl");
    TrainDisplay display(options().max_iters, std::max<std::int64_t>(options().eval_interval / 5, 1), tokens_per_step(),
                         watch());
    try {
      return loop(metrics, display);
    } catch (const Error& error) {
      display.end();
      const auto steps = run_.steps();
      if (steps.empty()) throw;
      throw Error(std::string(error.what()) + "; the run ended at step " + std::to_string(trainer_->iteration()) +
                  ", and " + run_.step_path(steps.front()).string() + " is whole: go on from it with --resume");
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int most_skipped_in_a_row = 10;

  const TrainOptions& options() const { return trainer_->options(); }
  std::int64_t tokens_per_step() const {
    return std::int64_t{options().batch_size} * options().grad_accum_steps * model_.config.ctx;
  }

  std::unique_ptr<GpuWatch> watch() const {
    if (!backend_.gpu) return nullptr;
    const auto flops = 3.0 * static_cast<double>(forward_flops_per_token(model_.config, model_.config.ctx));
    return std::make_unique<GpuWatch>(*backend_.gpu, flops);
  }

  /// The options with which the run begins or goes on. What is wrong with the checkpoints is told when they are loaded.
  TrainOptions first_options() const {
    if (!flags_.resume) return applied(flags_, program_.defaults);
    if (RunDirectory(flags_.out).steps().empty()) return program_.defaults;
    const auto options = [&](const auto& path) { return load_trainer_state(path, model_.config).options; };
    return applied(flags_, load_newest(flags_.out, options, [](const char*) {}));
  }

  /// Says what the run will take, and refuses what does not fit, before anything is allocated.
  TrainMemory expected_memory() const {
    const TrainOptions options = first_options();
    TrainMemory memory = train_memory(model_.config, Batch{options.batch_size}, Time{model_.config.ctx},
                                      backend_.how.precision, options.recompute);
    memory.workspace = backend_.model->train_workspace(backend_.how, options.batch_size);
    if (!flags_.input_file.empty()) {  // shards are mapped: the system gives their pages up when it needs memory
      std::error_code error;
      const auto bytes = std::filesystem::file_size(flags_.input_file, error);  // reading it says what is wrong with it
      if (!backend_.gpu && !error) memory.corpus = corpus_memory(static_cast<std::int64_t>(bytes));
    }
    const std::int64_t available = backend_.available();
    std::printf("%s\n", backend_.line.c_str());
    std::printf("memory to train with --batch-size %d: %s\n", options.batch_size, memory_sentence(memory).c_str());
    if (available >= 0) std::printf("memory available: %s\n", memory_text(available).c_str());
    std::fflush(stdout);
    check_memory(model_.config, memory, options, available, backend_.how.precision);
    return memory;
  }

  void make_trainer() { trainer_ = backend_.model->trainer(backend_.how, state_.options); }

  /// Calls load(path) on the model directory that --init-from-model names.
  template <class Load> auto from_initial_model(Load&& load) const {
    return load_newest(flags_.init_from_model, load, [&](const char* sentence) {
      complain(program_, sentence + std::string("; beginning with the one before it"));
    });
  }

  void begin() {
    state_.options = applied(flags_, program_.defaults);
    state_.checkpoint_interval =
        flags_.checkpoint_interval > 0 ? flags_.checkpoint_interval : state_.options.eval_interval;
    state_.data_bytes = data_.fingerprint.bytes;
    state_.data_crc32c = data_.fingerprint.crc32c;
    make_trainer();
    if (!flags_.init_from_model.empty()) {
      from_initial_model([&](const std::filesystem::path& path) {
        const ModelReader reader(path);
        companions_ = read_companions(reader);
        load_weights(reader, model_.config, trainer_->weights(), trainer_->memory());
      });
      trainer_->resume_at(0, 0, 0);
    }
    begin_windows();
    run_.cut_metrics(-1);
  }

  void restore() {
    const auto load = [&](const std::filesystem::path& path) {
      state_ = load_trainer_state(path, model_.config);
      train_data::expect_same(data_.fingerprint, flags_, path, {state_.data_bytes, state_.data_crc32c});
      state_.options = applied(flags_, state_.options);
      if (flags_.checkpoint_interval > 0) state_.checkpoint_interval = flags_.checkpoint_interval;
      make_trainer();
      companions_ = read_companions(ModelReader(path));
      load_model(path, model_.config, trainer_->weights(), trainer_->memory());
      load_moments(path, model_.config, trainer_->first_moments(), trainer_->second_moments(), trainer_->memory());
      trainer_->resume_at(state_.iteration, state_.updates, state_.skipped);
    };
    load_newest(run_.path(), load, [&](const char* sentence) {
      complain(program_, sentence + std::string("; going on from the checkpoint before it"));
    });
    begin_windows();
  }

  /// Draws the windows after those that have been drawn, whatever the size of the batches now is.
  void begin_windows() {
    state_.sampling = flags_.sampling.value_or(state_.sampling);
    first_iteration_ = trainer_->iteration();
    first_window_ = state_.windows_drawn;
    data_.train.sample(state_.sampling);
    data_.train.go_on_at(
        static_cast<std::uint64_t>(first_iteration_) * static_cast<std::uint64_t>(options().grad_accum_steps) + 1,
        static_cast<std::uint64_t>(first_window_));
  }

  std::int64_t windows_per_step() const { return std::int64_t{options().batch_size} * options().grad_accum_steps; }

  /// What the model that the run begins with knows of its data. What is damaged restore() says.
  std::optional<TrainedOn> trained_on() const {
    check_out(run_, flags_);
    if (!flags_.init_from_model.empty()) {
      return from_initial_model([&](const std::filesystem::path& path) -> std::optional<TrainedOn> {
        const ModelReader reader(path);
        auto tokenizer = model_directory::tokenizer_of(reader, expect_architecture(reader, model_.config));
        if (!tokenizer) return std::nullopt;
        return TrainedOn{flags_.init_from_model, *std::move(tokenizer), std::nullopt};
      });
    }
    if (!flags_.resume) return std::nullopt;
    const auto load = [&](const std::filesystem::path& path) {
      const TrainerState state = load_trainer_state(path, model_.config);
      return TrainedOn{path, load_tokenizer_of(ModelReader(path), model_.config),
                       Fingerprint{state.data_bytes, state.data_crc32c}};
    };
    return load_newest(run_.path(), load, [](const char*) {});
  }

  void announce() const {
    std::printf("%s\n", type_text(model_.config).c_str());
    const std::string accumulated =
        options().grad_accum_steps > 1 ? std::to_string(options().grad_accum_steps) + " times " : "";
    std::printf("  %s parameters; %s%d x %d tokens a step, with %s; %s of memory\n",
                grouped(ParamTable(model_.config).param_count()).c_str(), accumulated.c_str(), options().batch_size,
                model_.config.ctx, backend_.place.c_str(), memory_text(memory_.total()).c_str());
    std::printf("  %s\n", printable(data_.description).c_str());
    const std::int64_t windows = data_.train.windows(model_.config.ctx);
    const std::int64_t steps = (windows + windows_per_step() - 1) / windows_per_step();
    const std::string each = grouped(steps) + (steps == 1 ? " iteration" : " iterations");
    std::printf(state_.sampling == Sampling::epoch
                    ? "  every window once an epoch: %s windows of %d tokens in %s\n"
                    : "  windows at random places: as much as all the data is %s windows of %d tokens, %s\n",
                grouped(windows).c_str(), model_.config.ctx, each.c_str());
    std::printf("  iterations %s to %s, learning rate %g to %g, seed %llu; checkpoints in %s\n\n",
                grouped(trainer_->iteration() + 1).c_str(), grouped(options().max_iters).c_str(),
                options().learning_rate, options().min_learning_rate, static_cast<unsigned long long>(options().seed),
                run_.path().c_str());
    std::fflush(stdout);
  }

  Exit loop(Metrics& metrics, TrainDisplay& display) {
    const Signals signals;
    const auto begun = Clock::now();
    if (trainer_->iteration() == 0) evaluate(metrics, display);
    for (;;) {
      const auto step_begun = Clock::now();
      submit(signals);
      const StepReport report = trainer_->report();
      const double seconds = std::chrono::duration<double>(Clock::now() - step_begun).count();
      const auto rate = display.step(report, seconds);
      metrics.step(report, rate.tokens_per_second, rate.gpu);
      if (report.skipped) {
        display.say("step " + std::to_string(report.iteration) +
                    ": the loss or its gradient is not finite: step skipped");
        if (trainer_->skipped_in_a_row() >= most_skipped_in_a_row) return stop_not_finite(display);
      }
      const std::int64_t done = trainer_->iteration();
      const bool last = done >= options().max_iters, stopped = signals.received() != 0 && trainer_->in_flight() == 0;
      if (last || done % options().eval_interval == 0) evaluate(metrics, display);
      if (last || stopped || done % state_.checkpoint_interval == 0) save();
      if (last || stopped) {
        display.end();
        return last ? finished(std::chrono::duration<double>(Clock::now() - begun).count())
                    : interrupted(signals.received());
      }
    }
  }

  /// The next step, and as many ahead of it as the backend likes: none beyond an iteration that the host has something
  /// to do after, and none once a signal has come.
  void submit(const Signals& signals) {
    const int most = 1 + trainer_->steps_ahead();
    while (trainer_->in_flight() < most) {
      const std::int64_t before = trainer_->iteration() + trainer_->in_flight();
      const bool waits = before >= options().max_iters || before % options().eval_interval == 0 ||
                         before % state_.checkpoint_interval == 0 || signals.received() != 0;
      if (trainer_->in_flight() > 0 && waits) return;
      trainer_->submit(data_.train);
    }
  }

  void evaluate(Metrics& metrics, TrainDisplay& display) {
    Losses losses{trainer_->evaluate(data_.train), trainer_->evaluate(data_.validation), {}};
    for (const auto& [name, stream] : data_.others) losses.others.emplace_back(name, trainer_->evaluate(stream));
    display.evaluation(trainer_->iteration(), losses);
    metrics.evaluation(trainer_->iteration(), losses);
    if (!std::isfinite(losses.validation)) return;
    state_.last_validation_loss = losses.validation;
    state_.best_validation_loss = std::min(losses.validation, state_.best_validation_loss.value_or(losses.validation));
  }

  void save() {
    state_.iteration = trainer_->iteration();
    state_.updates = trainer_->updates();
    state_.skipped = trainer_->skipped();
    state_.windows_drawn = first_window_ + (state_.iteration - first_iteration_) * windows_per_step();
    save_checkpoint(run_.step_path(state_.iteration), program_.preset, model_.config, data_.tokenizer,
                    {trainer_->weights(), trainer_->first_moments(), trainer_->second_moments(), trainer_->memory()},
                    state_, companions_);
    run_.prune(2);
  }

  Exit finished(double seconds) const {
    const double loss = state_.last_validation_loss.value_or(0);
    std::printf("\ndone in %s: validation loss %.4f nats per token; the model is in %s\n",
                duration_text(seconds).c_str(), loss, run_.path().c_str());
    if (trainer_->skipped() > 0) {
      std::printf("%lld iterations were skipped because their loss was not finite\n",
                  static_cast<long long>(trainer_->skipped()));
    }
    const std::string prompt = data_.beginning.empty() ? "" : " --prompt " + shell_quoted(data_.beginning);
    std::printf("let it write: %s generate --model %s%s\n", shell_quoted(program_.command).c_str(),
                shell_quoted(flags_.out).c_str(), prompt.c_str());
    return Exit::done;
  }

  Exit interrupted(int signal) const {
    std::printf("\nstopped at step %s; saved %s; go on with\n  %s\n", grouped(trainer_->iteration()).c_str(),
                run_.step_path(trainer_->iteration()).c_str(), resume_command(program_, flags_).c_str());
    return static_cast<Exit>(128 + signal);
  }

  Exit stop_not_finite(TrainDisplay& display) const {
    display.end();
    const auto steps = run_.steps();
    complain(program_, "the loss was not finite " + std::to_string(most_skipped_in_a_row) +
                           " times in a row, at step " + std::to_string(trainer_->iteration()) +
                           ": lower --learning-rate and " +
                           (steps.empty() ? "begin again, as there is no checkpoint yet"
                                          : "go on from " + run_.step_path(steps.front()).string() + " with --resume"));
    return Exit::not_finite;
  }

  const Program& program_;
  const Model& model_;
  const TrainFlags& flags_;
  Chosen backend_;
  TrainMemory memory_;
  RunDirectory run_;
  TrainData data_;
  Companions companions_;                                ///< of the model that the run began with
  std::int64_t first_iteration_ = 0, first_window_ = 0;  ///< with which this part of the run began
  TrainerState state_;
  std::unique_ptr<AnyTrainer> trainer_;
};

inline Exit train(const Program& program, const Model& model, const TrainFlags& flags) {
  return TrainingRun(program, model, flags).run();
}

}  // namespace tinygpt::cli

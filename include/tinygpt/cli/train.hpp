// train: from a text or a dataset to a model directory, step by step, so that it can be stopped anywhere.
// One class, and so a long file: every part of a run reads and changes the state that its checkpoints keep.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <tinygpt/cli/disk_wait.hpp>
#include <tinygpt/cli/locked_run.hpp>
#include <tinygpt/cli/memory.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/process.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/train_announce.hpp>
#include <tinygpt/cli/train_data.hpp>
#include <tinygpt/cli/train_flags.hpp>
#include <tinygpt/cli/train_report.hpp>
#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/io/run_directory.hpp>

namespace tinygpt::cli {

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
        run_(flags.out),
        state_(first_state()),
        backend_(choose(model, backend_flags())),
        memory_(expected_memory()),
        data_(open_train_data(flags, state_.eval_datasets, model.config, trained_on())) {
    if (flags.resume)
      restore();
    else
      begin();
    run_->cut_metrics(trainer_->iteration());
  }

  Exit run() {
    if (trainer_->iteration() >= options().max_iters && !evaluation_due()) {
      std::printf("%s has all of its %s iterations: give a larger --max-iters to go on\n",
                  run_->step_path(trainer_->iteration()).c_str(), grouped(options().max_iters).c_str());
      return Exit::done;
    }
    if (out_of_patience()) {
      std::printf("%s has ended early, after %s evaluations without a better one: give a larger --patience to go on\n",
                  run_->path().c_str(), grouped(state_.without_improvement).c_str());
      return Exit::done;
    }
    announce(facts());
    const std::int64_t log_every = options().eval_interval > 0 ? options().eval_interval : state_.checkpoint_interval;
    Session session{Metrics(run_->path() / "metrics.jsonl"),
                    {options().max_iters, std::max<std::int64_t>(log_every / 5, 1), tokens_per_step(), watch()},
                    {},
                    Clock::now()};
    try {
      return loop(session);
    } catch (const Error& error) {
      session.display.end();
      const auto steps = run_->steps();
      if (steps.empty()) throw;
      throw Error(std::string(error.what()) + "; the run ended at step " + std::to_string(trainer_->iteration()) +
                      ", and " + run_->step_path(steps.front()).string() + " is whole: go on from it with --resume",
                  error.system_error());
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int most_skipped_in_a_row = 10;

  /// What there is while iterations are done.
  struct Session {
    Metrics metrics;
    TrainDisplay display;
    Signals signals;
    Clock::time_point begun;

    /// The signal that asks for the end; SIGPIPE where nobody reads the output any more.
    int ending() const { return signals.received() == 0 && process::reader_has_gone() ? SIGPIPE : signals.received(); }
  };
  enum class Evaluation { none, better, not_better, stopped };

  const TrainOptions& options() const { return trainer_->options(); }
  std::int64_t tokens_per_step() const {
    return std::int64_t{options().batch_size} * options().grad_accum_steps * model_.config.ctx;
  }

  std::unique_ptr<GpuWatch> watch() const {
    if (!backend_.gpu) return nullptr;
    const auto flops = 3.0 * static_cast<double>(forward_flops_per_token(model_.config, model_.config.ctx));
    return std::make_unique<GpuWatch>(*backend_.gpu, flops);
  }

  /// What the run begins or goes on with. What is wrong with the checkpoints is told when they are loaded.
  TrainerState first_state() const {
    check_out(*run_, flags_);
    expect_room_for_checkpoint(run_->step_path(0), model_.config);
    TrainerState state;
    state.options = program_.defaults;
    if (flags_.resume) {
      const auto load = [&](const auto& path) { return load_trainer_state(path, model_.config); };
      state = load_newest(flags_.out, load, [](const char*) {});
    }
    apply(flags_, state);
    if (state.checkpoint_interval == 0) {
      state.checkpoint_interval =
          state.options.eval_interval > 0 ? state.options.eval_interval : program_.defaults.eval_interval;
    }
    return state;
  }

  BackendFlags backend_flags() const {
    BackendFlags flags = flags_.backend;
    if (!flags.precision) flags.precision = state_.precision;
    return flags;
  }

  std::string precision_text() const { return config_text::word_of(config_text::precisions, backend_.how.precision); }

  /// Says what the run will take, and refuses what does not fit, before anything is allocated.
  TrainMemory expected_memory() const {
    const TrainOptions& options = state_.options;
    TrainMemory memory = train_memory(model_.config, Batch{options.batch_size}, Time{model_.config.ctx},
                                      backend_.how.precision, options.recompute);
    memory.workspace = backend_.model->train_workspace(backend_.how, options.batch_size);
    if (!flags_.input_file.empty()) {  // shards are mapped: the system gives their pages up when it needs memory
      std::error_code error;
      const auto bytes = std::filesystem::file_size(flags_.input_file, error);  // reading it says what is wrong with it
      if (!backend_.gpu && !error) memory.corpus = corpus_memory(static_cast<std::int64_t>(bytes));
    }
    const std::int64_t available = backend_.available();
    print(backend_.line);
    print("memory to train in " + precision_text() + " with --batch-size " + std::to_string(options.batch_size) + ": " +
          memory_sentence(memory));
    if (available >= 0) print("memory available: " + memory_text(available));
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
    state_.precision = backend_.how.precision;
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
  }

  void restore() {
    const auto load = [&](const std::filesystem::path& path) {
      state_ = load_trainer_state(path, model_.config);
      train_data::expect_same(data_.fingerprint, flags_, path, {state_.data_bytes, state_.data_crc32c});
      changes_ = apply(flags_, state_);
      const Precision before = state_.precision.value_or(backend_.how.precision);
      state_.precision = backend_.how.precision;
      if (before != state_.precision) {
        changes_.push_back("precision " + precision_text() + " instead of " +
                           config_text::word_of(config_text::precisions, before));
      }
      make_trainer();
      companions_ = read_companions(ModelReader(path));
      load_model(path, model_.config, trainer_->weights(), trainer_->memory());
      load_moments(path, model_.config, trainer_->first_moments(), trainer_->second_moments(), trainer_->memory());
      trainer_->resume_at(state_.iteration, state_.updates, state_.skipped);
    };
    load_newest(run_->path(), load, [&](const char* sentence) {
      complain(program_, sentence + std::string("; going on from the checkpoint before it"));
    });
    begin_windows();
    if (flags_.patience) state_.without_improvement = 0;
  }

  /// Draws the windows after those that have been drawn, whatever the size of the batches now is.
  void begin_windows() {
    first_iteration_ = last_update_ = trainer_->iteration();
    first_window_ = state_.windows_drawn;
    data_.train.sample(state_.sampling);
    data_.train.go_on_at(
        static_cast<std::uint64_t>(first_iteration_) * static_cast<std::uint64_t>(options().grad_accum_steps) + 1,
        static_cast<std::uint64_t>(first_window_));
  }

  std::int64_t windows_per_step() const { return std::int64_t{options().batch_size} * options().grad_accum_steps; }
  std::int64_t windows_drawn() const {
    return first_window_ + (trainer_->iteration() - first_iteration_) * windows_per_step();
  }
  std::int64_t tokens_seen() const { return windows_drawn() * model_.config.ctx; }

  /// What the model that the run begins with knows of its data. What is damaged restore() says.
  std::optional<TrainedOn> trained_on() const {
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
    return load_newest(run_->path(), load, [](const char*) {});
  }

  TrainFacts facts() const {
    return {program_.preset, model_.config,    data_,        state_,  trainer_->iteration(), backend_.place,
            memory_.total(), precision_text(), run_->path(), changes_};
  }

  Exit loop(Session& s) {
    for (;;) {
      if (const auto ended = between_iterations(s)) return *ended;
      const auto step_begun = Clock::now();
      submit(s);
      const StepReport report = trainer_->report();
      const double seconds = std::chrono::duration<double>(Clock::now() - step_begun).count();
      const auto rate = s.display.step(report, seconds);
      s.metrics.step(report, tokens_seen(), rate.tokens_per_second, rate.gpu);
      write_metrics(s);
      if (!report.skipped) {
        last_update_ = report.iteration;
        continue;
      }
      s.display.say("step " + std::to_string(report.iteration) +
                    ": the loss or its gradient is not finite: step skipped");
      if (trainer_->skipped_in_a_row() >= most_skipped_in_a_row) {
        return not_finite(s, "the loss was not finite " + std::to_string(most_skipped_in_a_row) +
                                 " times in a row, at step " + std::to_string(trainer_->iteration()));
      }
    }
  }

  /// The next step, and as many ahead of it as the backend likes: none beyond an iteration that the host has something
  /// to do after, and none once a signal has come.
  void submit(const Session& s) {
    const int most = 1 + trainer_->steps_ahead();
    while (trainer_->in_flight() < most) {
      const std::int64_t before = trainer_->iteration() + trainer_->in_flight();
      const bool waits = before >= options().max_iters || is_multiple(before, options().eval_interval) ||
                         is_multiple(before, state_.checkpoint_interval) || save_due_ || s.ending() != 0;
      if (trainer_->in_flight() > 0 && waits) return;
      trainer_->submit(data_.train);
    }
  }

  static bool is_multiple(std::int64_t n, std::int64_t interval) { return interval > 0 && n % interval == 0; }

  /// Evaluates, saves and ends, where it is time to.
  std::optional<Exit> between_iterations(Session& s) {
    if (trainer_->in_flight() > 0) return std::nullopt;
    const std::int64_t done = trainer_->iteration();
    const Evaluation found = evaluation_due() ? evaluate(s) : Evaluation::none;
    const bool last = (done >= options().max_iters || out_of_patience()) && found != Evaluation::stopped;
    // A step that was skipped is no place to end at: it may be the beginning of the end, and the next one shows it.
    const bool skipped = trainer_->skipped_in_a_row() > 0;
    const int signal = skipped ? 0 : s.ending();
    save_due_ |= last || signal != 0 || found == Evaluation::better ||
                 (done > first_iteration_ && is_multiple(done, state_.checkpoint_interval));
    if (save_due_ && !skipped) save(s);
    if (!last && signal == 0) return std::nullopt;
    const bool saved = saved_ == done;
    if (!saved)
      return not_finite(s, "the run ended at step " + std::to_string(done) + " with a loss that is not finite");
    s.display.end();
    return last ? finished(s) : interrupted(signal);
  }

  bool evaluation_due() const {
    const std::int64_t done = trainer_->iteration();
    return state_.last_evaluation != done &&
           (done >= options().max_iters || is_multiple(done, options().eval_interval));
  }

  bool out_of_patience() const { return state_.patience > 0 && state_.without_improvement >= state_.patience; }

  Evaluation evaluate(Session& s) {
    const auto parts = static_cast<std::int64_t>(2 + data_.others.size());
    std::int64_t before = 0;
    bool stopped = false;
    const auto loss_of = [&](const TokenStream& data) {
      const auto go_on = [&](int done) {
        s.display.evaluating(before + done, parts * options().eval_iters);
        return s.ending() == 0;
      };
      const auto loss = stopped ? std::nullopt : trainer_->evaluate(data, go_on);
      stopped |= !loss;
      before += options().eval_iters;
      return loss.value_or(0);
    };
    Losses losses{loss_of(data_.train), loss_of(data_.validation), {}};
    for (const auto& [name, stream] : data_.others) losses.others.emplace_back(name, loss_of(stream));
    if (stopped) return Evaluation::stopped;

    const std::int64_t done = trainer_->iteration();
    const bool finite = std::isfinite(losses.validation);
    const bool better = done > 0 && finite && (!state_.best_step || losses.validation < *state_.best_validation_loss);
    state_.last_evaluation = done;
    not_finite_at_ = finite ? -1 : done;
    if (finite) state_.last_validation_loss = losses.validation;
    if (better) state_.best_validation_loss = losses.validation, state_.best_step = done;
    state_.without_improvement = better || done == 0 ? 0 : state_.without_improvement + 1;
    s.display.evaluation(done, losses, state_.best_validation_loss);
    s.metrics.evaluation(done, tokens_seen(), losses);
    write_metrics(s);
    return better ? Evaluation::better : Evaluation::not_better;
  }

  void write_metrics(Session& s) {
    with_disk(s, [&] { s.metrics.write(); });
  }

  template <class Write> void with_disk(Session& s, Write&& write) {
    with_room(
        flags_.disk_wait, s.signals, [&](const std::string& text) { s.display.say(text); }, write);
  }

  /// Writes a checkpoint, but not of what is not finite: that would push out the good ones.
  void save(Session& s) {
    save_due_ = false;
    state_.iteration = trainer_->iteration();
    const CheckpointView arenas{trainer_->weights(), trainer_->first_moments(), trainer_->second_moments(),
                                trainer_->memory()};
    const std::string step = "step " + std::to_string(state_.iteration);
    s.display.doing("saving " + step);
    const std::string tensor = first_not_finite(model_.config, arenas);
    if (!tensor.empty() || not_finite_at_ == state_.iteration) {
      s.display.say(step + (tensor.empty() ? ": the validation loss" : ": tensor " + tensor) +
                    " is not finite: no checkpoint is saved");
      return;
    }
    state_.updates = trainer_->updates();
    state_.skipped = trainer_->skipped();
    state_.windows_drawn = windows_drawn();
    with_disk(s, [&] {
      save_checkpoint(run_->step_path(state_.iteration), program_.preset, model_.config, data_.tokenizer, arenas,
                      state_, companions_);
    });
    saved_ = state_.iteration;
    run_->prune(2, state_.iteration, state_.best_step);
  }

  Exit finished(const Session& s) const {
    const double seconds = std::chrono::duration<double>(Clock::now() - s.begun).count();
    const bool early = trainer_->iteration() < options().max_iters;
    std::printf("\n");
    print((early ? "ended early after " : "done in ") + duration_text(seconds) +
          format(": validation loss %.4f nats per token; the model is in ", state_.last_validation_loss.value_or(0)) +
          printable(run_->path().string()));
    if (early) {
      print("at step " + grouped(trainer_->iteration()) + " there were " + grouped(state_.without_improvement) +
            " evaluations without a better validation loss (--patience)");
    }
    if (trainer_->skipped() > 0) {
      std::printf("%lld iterations were skipped because their loss was not finite\n",
                  static_cast<long long>(trainer_->skipped()));
    }
    std::string model = shell_quoted(flags_.out);
    if (state_.best_step) {
      const bool newest = *state_.best_step == trainer_->iteration();
      print(format("best validation loss %.4f at step %lld: ", *state_.best_validation_loss,
                   static_cast<long long>(*state_.best_step)) +
            printable(run_->step_path(*state_.best_step).string()));
      if (!newest) model += " --best";
    }
    const std::string prompt = data_.beginning.empty() ? "" : " --prompt " + shell_quoted(data_.beginning);
    std::printf("let it write: %s generate --model %s%s\n", shell_quoted(program_.command).c_str(), model.c_str(),
                prompt.c_str());
    return Exit::done;
  }

  Exit interrupted(int signal) const {
    const std::string saved = "stopped at step " + grouped(trainer_->iteration()) + "; saved " +
                              printable(run_->step_path(trainer_->iteration()).string());
    if (signal == SIGPIPE) {
      complain(program_,
               "nobody reads the output any more: " + saved + "; go on with " + resume_command(program_, flags_));
    } else {
      std::printf("\n%s; go on with\n  %s\n", saved.c_str(), resume_command(program_, flags_).c_str());
    }
    return static_cast<Exit>(128 + signal);
  }

  /// The end of a run whose loss is not finite. Where no step has changed the weights since the newest checkpoint, they
  /// are those that gave such losses: it gets another name, so that --resume takes the one before it.
  Exit not_finite(Session& s, const std::string& what) const {
    s.display.end();
    std::string sentence = what + ": lower --learning-rate and ";
    auto steps = run_->steps();
    if (steps.size() > 1 && steps.front() >= last_update_) {
      const auto bad = run_->step_path(steps.front()), aside = std::filesystem::path(bad).concat("-not-finite");
      std::error_code error;
      std::filesystem::rename(bad, aside, error);
      if (!error) {
        steps.erase(steps.begin());
        sentence = what + ", with the weights of " + bad.string() + ", which is now " + aside.filename().string() +
                   ": lower --learning-rate and ";
      }
    }
    complain(program_, sentence + (steps.empty() ? "begin again with another --out, as there is no checkpoint yet"
                                                 : "go on from " + run_->step_path(steps.front()).string() +
                                                       ", the last good one, with --resume"));
    return Exit::not_finite;
  }

  const Program& program_;
  const Model& model_;
  const TrainFlags& flags_;
  LockedRun run_;
  TrainerState state_;
  Chosen backend_;
  TrainMemory memory_;
  TrainData data_;
  Companions companions_;                                ///< of the model that the run began with
  std::vector<std::string> changes_;                     ///< of what the run was told before
  std::int64_t first_iteration_ = 0, first_window_ = 0;  ///< with which this part of the run began
  std::int64_t last_update_ = 0;                         ///< the iteration that last changed the weights
  std::int64_t saved_ = -1;                              ///< the iteration of the last checkpoint of this part
  std::int64_t not_finite_at_ = -1;                      ///< the iteration whose validation loss was not finite
  bool save_due_ = false;
  std::unique_ptr<AnyTrainer> trainer_;
};

inline Exit train(const Program& program, const Model& model, const TrainFlags& flags) {
  return TrainingRun(program, model, flags).run();
}

}  // namespace tinygpt::cli

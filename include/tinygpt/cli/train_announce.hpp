// What a training run says before it begins.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <tinygpt/cli/table.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/cli/train_data.hpp>
#include <tinygpt/cli/train_flags.hpp>
#include <tinygpt/io/trainer_state.hpp>
#include <tinygpt/layout/memory.hpp>

namespace tinygpt::cli {

inline void print(const std::string& text) { std::fputs(paragraph(text).c_str(), stdout); }

/// What it says it of.
struct TrainFacts {
  const std::string& preset;
  const Config& config;
  const TrainData& data;
  const TrainerState& state;  ///< with the options
  std::int64_t iteration;     ///< that the run begins after
  const std::string& place;   ///< "2 threads"
  std::int64_t memory;
  std::string precision;
  const std::filesystem::path& out;
  const std::vector<std::string>& changes;  ///< of what the run was told before
};

/// Rows of the embedding and the head that no token of the data uses take memory and time, and learn nothing.
inline void announce_unused_vocabulary(const TrainFacts& f) {
  const int used = f.data.tokenizer.size(), rows = f.config.vocab;
  if (used >= rows - rows / 10) return;
  Config smaller = f.config;
  smaller.vocab = used;
  print("  " + grouped(rows - used) + " of the " + grouped(rows) + " rows of the vocabulary are not used: the same " +
        "model with Vocab<" + std::to_string(used) + "> (tinygpt train --preset " + f.preset + " --vocab-size " +
        std::to_string(used) + ") has " + grouped(ParamTable(smaller).param_count()) + " parameters, and is faster");
}

inline void announce(const TrainFacts& f) {
  const TrainOptions& o = f.state.options;
  const std::string ctx = std::to_string(f.config.ctx);
  print(type_text(f.config));
  print("  " + grouped(ParamTable(f.config).param_count()) + " parameters; " +
        (o.grad_accum_steps > 1 ? std::to_string(o.grad_accum_steps) + " times " : "") + std::to_string(o.batch_size) +
        " x " + ctx + " tokens a step, with " + f.place + "; " + memory_text(f.memory) + " of memory in " +
        f.precision);
  print("  " + printable(f.data.description));
  announce_unused_vocabulary(f);
  const std::int64_t windows = f.data.train.windows(f.config.ctx),
                     per_step = std::int64_t{o.batch_size} * o.grad_accum_steps,
                     steps = windows / per_step + (windows % per_step != 0);
  const std::string of = grouped(windows) + " windows of " + ctx + " tokens",
                    each = grouped(steps) + (steps == 1 ? " iteration" : " iterations");
  print(f.state.sampling == Sampling::epoch
            ? "  every window once an epoch: " + of + " in " + each
            : "  windows at random places: as much as all the data is " + of + ", " + each);
  print("  iterations " + grouped(f.iteration + 1) + " to " + grouped(o.max_iters) + ", learning rate " +
        shown(o.learning_rate) + " to " + shown(o.min_learning_rate) + ", seed " + std::to_string(o.seed) +
        "; checkpoints in " + printable(f.out.string()));
  if (o.warmup_iters > o.max_iters) {
    const double part = static_cast<double>(o.max_iters) / static_cast<double>(o.warmup_iters);
    print("  the warmup of " + grouped(o.warmup_iters) +
          " iterations is longer than the run: the learning rate rises " + "to " + shown(o.learning_rate * part) +
          " only; lower --warmup-iters");
  }
  if (!f.changes.empty()) {
    std::string changes;
    for (const std::string& change : f.changes) changes += (changes.empty() ? "" : "; ") + change;
    print("  changed on resuming: " + printable(changes));
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace tinygpt::cli

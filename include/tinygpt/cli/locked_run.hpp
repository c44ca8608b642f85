// The directory that a training run works in: locked before anything in it is looked at.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include <tinygpt/cli/train_flags.hpp>
#include <tinygpt/io/run_directory.hpp>

namespace tinygpt::cli {

/// Creates and locks the directory of a run. Takes it away again where nothing came into it.
class LockedRun {
 public:
  explicit LockedRun(const std::filesystem::path& path) : run_(path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (std::filesystem::exists(status) && !std::filesystem::is_directory(status)) {
      throw Error(path.string() + " is a file: give a directory with --out");
    }
    made_ = !std::filesystem::exists(status);
    run_.lock();
  }
  LockedRun(const LockedRun&) = delete;
  LockedRun& operator=(const LockedRun&) = delete;
  ~LockedRun() {
    if (made_) ::rmdir(run_.path().c_str());  // refused where there is something in it
  }

  const RunDirectory* operator->() const { return &run_; }
  const RunDirectory& operator*() const { return run_; }

 private:
  RunDirectory run_;
  bool made_ = false;
};

/// A new run must not begin where another model or its record lies, nor go on where none does. Under the lock, so that
/// what is found stays so.
inline void check_out(const RunDirectory& run, const TrainFlags& flags) {
  const auto& path = run.path();
  const auto steps = run.steps();
  if (flags.resume && steps.empty()) {
    throw Error("there is no checkpoint in " + path.string() + " to go on from: leave --resume out, or check --out");
  }
  if (flags.resume) return;
  std::error_code error;
  if (!steps.empty() || std::filesystem::exists(path / "config.json", error)) {
    throw Error(path.string() + " already holds a model" +
                (steps.empty() ? "" : " at step " + std::to_string(steps.front())) +
                ": add --resume to go on with it, or give another directory with --out");
  }
  const auto metrics = path / "metrics.jsonl";
  const auto bytes = std::filesystem::file_size(metrics, error);
  const bool there = std::filesystem::exists(std::filesystem::symlink_status(metrics, error));
  if (there && (error || bytes > 0)) {
    throw Error(metrics.string() +
                " is there, without a checkpoint that it belongs to: move it away, or give another " +
                "directory with --out");
  }
}

}  // namespace tinygpt::cli

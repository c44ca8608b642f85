// The directory of a training run: metrics.jsonl and the newest checkpoints, step-000250 and so on.
#pragma once

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/directory_lock.hpp>
#include <tinygpt/io/json.hpp>

namespace tinygpt {

/// Which checkpoint is the newest is seen from the names each time; there is no pointer that could dangle.
class RunDirectory {
 public:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path step_path(std::int64_t step) const {
    char name[32];
    std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
    return path_ / name;
  }

  /// The steps of the checkpoints, newest first.
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> steps;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
      const std::string name = entry.path().filename().string();
      std::int64_t step = 0;
      const char* const end = name.data() + name.size();
      if (!name.starts_with("step-") || !entry.is_directory(error)) continue;
      if (const auto [at, fault] = std::from_chars(name.data() + 5, end, step); at == end && fault == std::errc{}) {
        if (step >= 0 && step_path(step) == entry.path()) steps.push_back(step);
      }
    }
    std::sort(steps.begin(), steps.end(), std::greater<>());
    return steps;
  }

  /// Creates the directory, keeps other trainers out for as long as this object lives, and clears what a crash left.
  void lock() {
    lock_ = lock_directory(
        path_, path_.string() + " is in use by another training run: wait for it to end, or give another directory");
    if (::access(path_.c_str(), W_OK | X_OK) != 0) throw file_error("write to", path_, errno);
    sibling::clean(path_, [](std::string_view name) { return name.starts_with("step-") || name == "metrics.jsonl"; });
  }

  /// Removes all checkpoints but the newest `keep` of those up to step `newest`, and `best`. Later ones are of a run
  /// that was gone back from, as they could not be used.
  void prune(std::size_t keep, std::int64_t newest = std::numeric_limits<std::int64_t>::max(),
             std::optional<std::int64_t> best = {}) const {
    const auto found = steps();
    std::size_t kept = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i] <= newest && kept++ < keep) continue;
      if (found[i] == best) continue;
      // Under a temporary name first, so that a crash leaves no checkpoint that has lost only some of its files.
      const auto doomed = sibling::of(step_path(found[i]), "tmp-pruned");
      std::error_code error;
      std::filesystem::remove_all(doomed, error);  // of an earlier run that could not
      std::filesystem::rename(step_path(found[i]), doomed, error);
      std::filesystem::remove_all(doomed, error);
    }
  }

  /// Drops the lines of metrics.jsonl after `step`, and a last line that a crash cut short, so that no step is double.
  void cut_metrics(std::int64_t step) const {
    const auto file = path_ / "metrics.jsonl";
    std::error_code error;
    if (!std::filesystem::exists(file, error) && !error) return;
    const std::string text = read_small_file(file, std::int64_t{4} << 30);
    std::string kept;
    for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const auto line = std::string_view(text).substr(begin, end - begin);
      const Json json = Json::parse(line, nullptr, false);
      if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
      // One that only a number without a sign can hold would come back below 0.
      constexpr auto most = std::numeric_limits<std::int64_t>::max();
      const bool beyond = json["step"].is_number_unsigned() && json["step"].get<std::uint64_t>() > most;
      if (!beyond && json["step"].get<std::int64_t>() <= step) kept.append(line) += '\n';
    }
    write_file_atomically(file, kept);
  }

 private:
  std::filesystem::path path_;
  Descriptor lock_;
};

/// Is a file not what was once written, so that an older copy may still be good: damaged, gone, or where the disk fails?
inline bool is_damage(const Error& error) {
  const int reason = error.system_error();
  return dynamic_cast<const DamagedFile*>(&error) != nullptr || reason == EIO || reason == ENOENT || reason == EISDIR ||
         reason == ENOTDIR || reason == ELOOP || reason == ENXIO;
}

/// Calls load(path) on the model directory that `path` names: itself, or its newest checkpoint that can be read. A
/// damaged checkpoint is reported through warn(sentence) and passed over; where none is left its error is thrown.
template <class Load, class Warn> auto load_newest(const std::filesystem::path& path, Load&& load, Warn&& warn) {
  const auto steps = RunDirectory(path).steps();
  std::error_code error;
  if (steps.empty() || std::filesystem::exists(path / "manifest.json", error)) return load(path);
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    try {
      return load(RunDirectory(path).step_path(steps[i]));
    } catch (const Error& fault) {
      if (!is_damage(fault)) throw;
      warn(fault.what());
    }
  }
  return load(RunDirectory(path).step_path(steps.back()));
}

}  // namespace tinygpt

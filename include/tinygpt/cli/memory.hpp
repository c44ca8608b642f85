// How much memory there is, how much training takes, and what to say when the second is more than the first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <tinygpt/cli/exit.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/layout/memory.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt::cli {

namespace memory {

/// The number after `key` at the beginning of a line of the file, or the file's first number where `key` is empty; -1
/// where there is none ("max", or no such file).
inline std::int64_t number_in(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const char* const text = line.c_str() + key.size();
    char* end = nullptr;
    const std::int64_t number = std::strtoll(text, &end, 10);
    if (end != text) return number;
  }
  return -1;
}

/// What a control group leaves: its limit, less what it uses and cannot drop (files that are cached can go).
inline std::int64_t left_in_group(const std::filesystem::path& group, const char* limit, const char* usage,
                                  const char* cached) {
  constexpr std::int64_t no_limit = std::int64_t{1} << 60;  // version 1 says it with a huge number
  const std::int64_t most = number_in(group / limit, ""), used = number_in(group / usage, "");
  if (most < 0 || most >= no_limit || used < 0) return -1;
  return std::max<std::int64_t>(0, most - used + std::max<std::int64_t>(0, number_in(group / "memory.stat", cached)));
}

}  // namespace memory

/// Bytes of memory that can be had without swapping: what the system has available, and what the control groups of
/// this process (a container's limit) leave. -1 where the system does not say. `root` is another one in tests.
inline std::int64_t available_memory(const std::filesystem::path& root = "/") {
  std::int64_t available = memory::number_in(root / "proc/meminfo", "MemAvailable:");
  if (available > 0) available *= 1024;
  const auto limit_to = [&](std::int64_t bytes) {
    if (bytes >= 0) available = available < 0 ? bytes : std::min(available, bytes);
  };
  // Lines are "0::/path" in version 2 and "4:memory:/path" in version 1. A limit holds for all groups below it. Inside
  // a container the path may be the host's, of which only the root is to be seen.
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && ("," + controllers + ",").find(",memory,") == std::string::npos) continue;
    const std::filesystem::path top = unified ? root / "sys/fs/cgroup" : root / "sys/fs/cgroup/memory";
    for (std::filesystem::path path = line.substr(second + 1);; path = path.parent_path()) {
      const auto group = top / path.relative_path();
      limit_to(unified ? memory::left_in_group(group, "memory.max", "memory.current", "inactive_file ")
                       : memory::left_in_group(group, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                               "total_inactive_file "));
      if (!path.has_relative_path()) break;
    }
  }
  return available;
}

/// Bytes that a corpus of `bytes` bytes takes: the text, and a token id of four bytes for each of its bytes.
constexpr std::int64_t corpus_memory(std::int64_t bytes) {
  return bytes * static_cast<std::int64_t>(1 + sizeof(std::int32_t));
}

/// "138.0 MiB: weights 7.0 MiB, ...".
inline std::string memory_sentence(const TrainMemory& m) {
  std::string text = memory_text(m.total()) + ": weights " + memory_text(m.weights) +
                     (m.masters > 0 ? ", master weights " + memory_text(m.masters) : "") + ", gradients " +
                     memory_text(m.gradients) + ", AdamW's moments " + memory_text(m.moments) + ", activations " +
                     memory_text(m.activations) + ", batch and workspace " + memory_text(m.batch + m.workspace);
  return m.corpus == 0 ? text : text + ", text " + memory_text(m.corpus);
}

/// Refuses what would make the machine swap or kill the program, and says what would fit. `memory` is what training takes
/// with `options` in `precision`.
inline void check_memory(const Config& config, const TrainMemory& memory, const TrainOptions& options,
                         std::int64_t available, Precision precision = float32) {
  if (available < 0 || memory.total() <= available) return;
  const std::int64_t fixed = memory.workspace + memory.corpus;
  const auto largest = [&](Recompute recompute) {
    return largest_batch(config, Time{config.ctx}, available - fixed, precision, recompute);
  };
  const auto batch = [](int size) { return "--batch-size " + std::to_string(size); };
  const std::string fault = "training takes " + memory_text(memory.total()) + " of memory with " +
                            batch(options.batch_size) + ", but " + memory_text(available) + " are available: ";
  const std::string smaller = ", and --grad-accum-steps makes up for a smaller one";
  const int as_it_is = largest(options.recompute), most = largest(Recompute::blocks);
  if (most == 0) {
    const TrainMemory one = train_memory(config, Batch{1}, Time{config.ctx}, precision, Recompute::blocks);
    throw OutOfMemory(fault + "not even " + batch(1) + " fits with --recompute blocks, which takes " +
                      memory_text(one.total() + fixed) + ": train a smaller model, or close other programs");
  }
  if (as_it_is == 0) throw OutOfMemory(fault + batch(most) + " with --recompute blocks is the largest that fits" + smaller);
  const std::string fits = batch(as_it_is) + " is the largest that fits";
  if (most == as_it_is) throw OutOfMemory(fault + fits + smaller);
  const auto enough = largest(Recompute::activations) >= options.batch_size ? Recompute::activations : Recompute::blocks;
  const std::string with = " with --recompute " + config_text::word_of(config_text::recomputes, enough);
  throw OutOfMemory(fault + fits + ", or " + (most >= options.batch_size ? "this one" : std::to_string(most)) + with +
                    smaller);
}

}  // namespace tinygpt::cli

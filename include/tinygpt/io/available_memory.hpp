// How much memory there is to be had.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace tinygpt {

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

}  // namespace tinygpt

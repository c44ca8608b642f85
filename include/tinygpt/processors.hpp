// How many threads are worth starting.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

#if defined(__linux__)
#  include <sched.h>
#endif

namespace tinygpt {

/// The processors that this process may run on, by their numbers; empty where the system does not say.
inline std::vector<int> allowed_processors() {
  std::vector<int> allowed;
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) allowed.push_back(cpu);
    }
  }
#endif
  return allowed;
}

/// Threads that the process can run at once.
inline int hardware_threads() {
  const std::size_t allowed = allowed_processors().size();
  return static_cast<int>(allowed > 0 ? allowed : std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace tinygpt

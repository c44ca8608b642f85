// The most memory that a piece of work takes, measured in a process of its own.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

/// VmHWM: the most memory that this process has had resident, in bytes.
inline std::int64_t peak_memory() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) return 1024 * std::strtoll(line.c_str() + 6, nullptr, 10);
  }
  throw std::runtime_error("/proc/self/status has no VmHWM");
}

/// Bytes by which work() raises the peak of a fresh process that has done nothing else.
template <class Work> std::int64_t peak_of(Work&& work) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("there is no pipe to be had");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("there is no process to be had");
  if (child == 0) {
    const std::int64_t empty = peak_memory();
    work();
    const std::int64_t bytes = peak_memory() - empty;
    ::_exit(::write(ends[1], &bytes, sizeof bytes) == sizeof bytes ? 0 : 1);
  }
  ::close(ends[1]);
  std::int64_t bytes = 0;
  const bool told = ::read(ends[0], &bytes, sizeof bytes) == sizeof bytes;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!told || status != 0) throw std::runtime_error("the work did not end well");
  return bytes;
}

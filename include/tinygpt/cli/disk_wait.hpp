// Waiting for room on a full disk, so that hours of work do not end because of it.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ratio>
#include <string>
#include <thread>

#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt::cli {

/// Calls write(), and where it throws an Error of a full disk, calls it again every few seconds for up to `minutes`,
/// after which the error is thrown. A signal that comes meanwhile ends the wait, too. `say` is told that it waits, and
/// that there is room again.
template <class Write, class Say> void with_room(double minutes, const Signals& signals, Say&& say, Write&& write) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double, std::ratio<60>>(std::min(minutes, 1e6));
  const int before = signals.received();
  for (bool waited = false;; waited = true) {
    try {
      write();
      if (waited) say("there is room on the disk again");
      return;
    } catch (const Error& error) {
      const bool full = error.system_error() == ENOSPC || error.system_error() == EDQUOT;
      if (!full || Clock::now() >= end || signals.received() != before) throw;
      if (!waited) {
        say(std::string(error.what()) + "; waiting up to " + duration_text(60 * minutes) +
            " for room (--disk-wait), Ctrl-C to end");
      }
    }
    for (int i = 0; i < 20 && signals.received() == before; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

}  // namespace tinygpt::cli

// What the programs return to the shell, and the errors that decide it.
#pragma once

#include <tinygpt/error.hpp>

namespace tinygpt::cli {

/// What the programs return to the shell. A run that a signal ended returns 128 + the signal's number.
enum class Exit : int {
  done = 0,
  failed = 1,
  wrong_command_line = 2,
  out_of_memory = 3,
  not_finite = 4,
  disk_full = 5
};

/// The command line is wrong; nothing has been touched.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// The machine has not enough memory.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace tinygpt::cli

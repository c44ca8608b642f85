// What the library throws when the world outside is not as it should be: files, disks, texts, command lines.
#pragma once

#include <stdexcept>
#include <string>

namespace tinygpt {

/// A fault that a person can put right. `what()` is one sentence: what, where, and what to do.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file that is not what was once written: an older copy may still be good.
class DamagedFile : public Error {
 public:
  using Error::Error;
};

}  // namespace tinygpt

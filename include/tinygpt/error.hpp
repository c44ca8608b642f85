// What the library throws when the world outside is not as it should be: files, disks, texts, command lines.
#pragma once

#include <stdexcept>
#include <string>

namespace tinygpt {

/// A fault that a person can put right. `what()` is one sentence: what, where, and what to do.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& sentence, int system_error = 0)
      : std::runtime_error(sentence), system_error_(system_error) {}

  /// The error number (errno) of the system call that failed; 0 where none did.
  int system_error() const { return system_error_; }

 private:
  int system_error_;
};

/// A file that is not what was once written: an older copy may still be good.
class DamagedFile : public Error {
 public:
  using Error::Error;
};

}  // namespace tinygpt

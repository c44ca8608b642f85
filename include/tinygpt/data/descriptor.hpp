// An open file of the system, closed where it goes out of scope.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace tinygpt {

/// Makes a system call again for as long as a signal interrupts it.
template <class Call> auto uninterrupted(Call&& call) {
  decltype(call()) result;
  do result = call();
  while (result == -1 && errno == EINTR);
  return result;
}

/// A file descriptor with one owner.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Closes and says whether the system had nothing to complain about: some report a failed write only here.
  /// Interrupted by a signal it is closed all the same.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0 || errno == EINTR; }

 private:
  int fd_;
};

}  // namespace tinygpt

// Who may work in a directory, and who may make an output: one process at a time.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <tinygpt/io/file.hpp>
#include <tinygpt/io/sibling.hpp>

namespace tinygpt {

namespace locks {

/// Takes the lock or throws Error: with the sentence `busy` where another has it, or with what the system says.
inline void take(const Descriptor& fd, const std::filesystem::path& path, std::string_view busy) {
  const int error = sibling::try_lock(fd);
  if (error == EWOULDBLOCK) throw Error(std::string(busy));
  if (error != 0) throw file_error("lock", path, error);
}

}  // namespace locks

/// Creates the directory and locks it for as long as what it returns lives. Where another process has it, throws Error
/// with the sentence `busy`. A link to a directory is followed, one that leads nowhere refused.
inline Descriptor lock_directory(const std::filesystem::path& path, std::string_view busy) {
  const auto resolved = sibling::resolved(path);
  for (;;) {
    std::error_code error;
    std::filesystem::create_directories(resolved, error);
    if (error) throw file_error("create", path, error.value());
    Descriptor lock(uninterrupted([&] { return ::open(resolved.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!lock && errno == ENOENT) continue;
    if (!lock) throw file_error("open", path, errno);
    locks::take(lock, path, busy);
    // Who had it before may have replaced or removed it.
    if (sibling::is_named(lock, resolved)) return lock;
  }
}

/// A directory that is created and locked, and taken away again where nothing came into it.
class LockedDirectory {
 public:
  LockedDirectory(const std::filesystem::path& path, std::string_view busy) : path_(path) {
    std::error_code error;
    made_ = !std::filesystem::exists(path, error);
    lock_ = lock_directory(path, busy);
  }
  LockedDirectory(const LockedDirectory&) = delete;
  LockedDirectory& operator=(const LockedDirectory&) = delete;
  ~LockedDirectory() {
    if (made_) ::rmdir(path_.c_str());  // refused where there is something in it
  }

 private:
  std::filesystem::path path_;
  Descriptor lock_;
  bool made_ = false;
};

/// The right to make or replace the file or directory `out`, which one process at a time has: what is found there while
/// it lives stays so. A file ".OUT.tinygpt-lock" beside it is held, and `out` too where it is a directory. Removes what
/// crashed writers of `out` left.
class OutputLock {
 public:
  explicit OutputLock(const std::filesystem::path& to) {
    const auto out = sibling::resolved(to);
    path_ = sibling::of(out, "lock");
    const std::string busy =
        to.string() + " is being written by another process: wait for it, or give another --out";
    sibling::expect_no_mount_point(out);
    do {
      lock_ = Descriptor(uninterrupted(
          [&] { return ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666); }));
      if (!lock_) throw file_error("create", to, errno);
      locks::take(lock_, path_, busy);
    } while (!sibling::is_named(lock_, path_));  // who had it before has removed it
    try {
      directory_ = Descriptor(::open(out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (directory_) locks::take(directory_, to, busy);
    } catch (...) {
      ::unlink(path_.c_str());
      throw;
    }
    sibling::clean(out);
  }
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;
  ~OutputLock() { ::unlink(path_.c_str()); }

 private:
  std::filesystem::path path_;
  Descriptor lock_, directory_;
};

/// Throws Error where something is at `out`; an empty directory does not count.
inline void expect_free(const std::filesystem::path& out) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(out, error);
  if (!std::filesystem::exists(status)) return;
  if (std::filesystem::is_directory(status) && std::filesystem::is_empty(out, error)) return;
  throw Error(out.string() + " is there already: remove it, or give another --out");
}

}  // namespace tinygpt

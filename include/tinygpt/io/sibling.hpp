// The hidden names beside a file or directory that is being written: ".NAME.tinygpt-tmp-PID-N" and the like. The mark in
// the name and a lock say whose they are, so that nothing else is ever removed.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <tinygpt/data/descriptor.hpp>
#include <tinygpt/data/file_error.hpp>

namespace tinygpt::sibling {

inline std::filesystem::path parent_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// ".NAME.tinygpt-SUFFIX" beside NAME.
inline std::filesystem::path of(const std::filesystem::path& target, std::string_view suffix) {
  return parent_of(target) / ("." + target.filename().string() + ".tinygpt-" + std::string(suffix));
}

/// Where an output goes: links are followed, so that they stay; "dir/" and "." get the name that they stand for. Throws
/// Error where a link leads nowhere.
inline std::filesystem::path resolved(std::filesystem::path out) {
  std::error_code error;
  const auto name = out.filename();
  if (name.empty() || name == "." || name == "..") {
    out = std::filesystem::absolute(out, error).lexically_normal();
    if (error) throw file_error("use", out, error.value());
    if (out.filename().empty()) out = out.parent_path();
  }
  if (!std::filesystem::is_symlink(std::filesystem::symlink_status(out, error))) return out;
  const auto to = std::filesystem::canonical(out, error);
  if (error.value() == ENOENT) {
    throw Error(out.string() + " is a link that leads nowhere: make the directory that it names, or give another");
  }
  if (error) throw file_error("use", out, error.value());
  return to;
}

/// 0 where the lock was taken, else the number of the error: EWOULDBLOCK where another has it.
inline int try_lock(const Descriptor& fd) {
  return uninterrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) == 0 ? 0 : errno;
}

/// Does the open file still have this name?
inline bool is_named(const Descriptor& fd, const std::filesystem::path& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd.get(), &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

/// A new file or directory beside the target, and the lock that says it is alive.
struct Temporary {
  std::filesystem::path path;
  Descriptor fd;
};

enum class Kind { file, directory };

/// Makes one under a name that nothing had before; no link is followed.
inline Temporary make_temporary(const std::filesystem::path& target, Kind kind) {
  static std::atomic<int> counter{0};
  for (;;) {
    Temporary made;
    made.path = of(target, "tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
    const char* const name = made.path.c_str();
    const int flags = kind == Kind::file ? O_RDWR | O_CREAT | O_EXCL : O_RDONLY | O_DIRECTORY;
    if (kind == Kind::directory && ::mkdir(name, 0777) != 0) {
      if (errno == EEXIST) continue;
      throw file_error("create", made.path, errno);
    }
    made.fd = Descriptor(uninterrupted([&] { return ::open(name, flags | O_NOFOLLOW | O_CLOEXEC, 0666); }));
    const bool taken_away = kind == Kind::file ? errno == EEXIST : errno == ENOENT;
    if (!made.fd && taken_away) continue;
    if (!made.fd) throw file_error("create", made.path, errno);
    // A cleaner may have come in between. A filesystem without locks loses its courtesy, nothing else.
    if (try_lock(made.fd) != EWOULDBLOCK && is_named(made.fd, made.path)) return made;
  }
}

namespace cleaning {

/// Is this what follows "tinygpt-" in the name of a temporary: "tmp-PID-N", or "tmp-pruned"?
inline bool is_temporary(std::string_view suffix) {
  if (!suffix.starts_with("tmp-")) return false;
  suffix.remove_prefix(4);
  if (suffix == "pruned") return true;
  const auto dash = suffix.find('-');
  const auto digits = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return dash != std::string_view::npos && digits(suffix.substr(0, dash)) && digits(suffix.substr(dash + 1));
}

/// Locks a file or directory that nobody holds.
inline Descriptor take(const std::filesystem::path& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return Descriptor();
  const bool known = S_ISREG(status.st_mode) || S_ISDIR(status.st_mode);
  if (!known || try_lock(fd) != 0 || !is_named(fd, path)) return Descriptor();
  return fd;
}

}  // namespace cleaning

/// Removes what crashed writers left in `directory` beside targets for which is_target(name) holds, and gives a
/// directory its name back that lost it between two renames. What a living writer holds, and what has no mark of ours,
/// is left alone.
template <class IsTarget> void clean(const std::filesystem::path& directory, const IsTarget& is_target) {
  constexpr std::string_view mark = ".tinygpt-";
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  for (const std::string& name : names) {
    const auto end = name.rfind(mark);
    if (name[0] != '.' || end == std::string::npos || end < 2) continue;
    const std::string target = name.substr(1, end - 1), suffix = name.substr(end + mark.size());
    const bool old = suffix == "old";
    if ((!old && !cleaning::is_temporary(suffix)) || !is_target(target)) continue;
    const Descriptor held = cleaning::take(directory / name);
    if (!held) continue;
    if (old && ::renameat2(AT_FDCWD, (directory / name).c_str(), AT_FDCWD, (directory / target).c_str(),
                           RENAME_NOREPLACE) == 0) {
      continue;
    }
    // Where the rename cannot be without a risk, the old one stays until its target is there again.
    if (!old || std::filesystem::exists(directory / target, error)) {
      std::filesystem::remove_all(directory / name, error);
    }
  }
}

/// The same beside one target.
inline void clean(const std::filesystem::path& target) {
  clean(parent_of(target), [name = target.filename().string()](const std::string& other) { return other == name; });
}

/// Gives `from` a name that nothing has; throws Error, and changes nothing, where something has it.
inline void rename_to_new(const std::filesystem::path& from, const std::filesystem::path& to) {
  int error = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0 ? 0 : errno;
  if (error == EINVAL || error == ENOSYS || error == ENOTSUP) {  // not every filesystem knows the flag
    struct stat status {};
    if (::link(from.c_str(), to.c_str()) == 0) {
      ::unlink(from.c_str());
      return;
    }
    error = errno;
    if (error != EEXIST) {  // a directory, or no links either
      error = ::lstat(to.c_str(), &status) == 0 ? EEXIST : ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
    }
  }
  if (error == EEXIST || error == ENOTEMPTY) {
    throw Error("cannot write " + to.string() +
                    ": another process has made it in the meantime: it stays as it is, so give another name",
                EEXIST);
  }
  if (error != 0) throw file_error("create", to, error);
}

/// Throws Error where a directory cannot be replaced by another because a filesystem is mounted on it.
inline void expect_no_mount_point(const std::filesystem::path& target) {
  struct statx status {};
  struct stat own {
  }, around{};
  if (::stat(target.c_str(), &own) != 0 || !S_ISDIR(own.st_mode)) return;
  const bool root = ::statx(AT_FDCWD, target.c_str(), 0, 0, &status) == 0 &&
                    (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  const bool other = ::stat(parent_of(target).c_str(), &around) == 0 && own.st_dev != around.st_dev;
  if (root || other) throw file_error("replace", target, EBUSY);
}

}  // namespace tinygpt::sibling

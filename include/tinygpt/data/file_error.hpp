// What the system says when a file cannot be used, as one sentence that says what to do.
#pragma once

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include <tinygpt/error.hpp>

namespace tinygpt {

/// What to do about an error number of the system.
inline std::string advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "the disk is full: free some space or write to another disk";
    case EFBIG:
      return "a file may not be that large here: raise the limit (ulimit -f) or write to another disk";
    case EACCES:
    case EPERM:
      return "permission denied: choose a place that you may use, or change its permissions";
    case EROFS:
      return "the filesystem is read-only: write to another place";
    case ENOENT:
      return "there is no such file or directory: check the path";
    case EEXIST:
      return "it is there already: remove it, or give another name";
    case ENOLCK:
      return "its filesystem gives no locks: write to another disk";
    case ENOTDIR:
      return "a part of the path is a file, not a directory: check the path";
    case EISDIR:
      return "it is a directory, not a file: check the path";
    case EBUSY:
      return "it is a mount point or in use: choose a directory inside it";
    case ENAMETOOLONG:
      return "the name is too long: give a shorter one";
    case ELOOP:
      return "its links lead in a circle: check the path";
    case EMFILE:
    case ENFILE:
      return "too many files are open: raise the limit (ulimit -n)";
    case ENOMEM:
      return "there is not enough memory: close other programs";
    case EAGAIN:
      return "the system gives no more of it now (threads, processes, locks): raise the limit (ulimit -u) or try again";
    case EPIPE:
      return "nobody reads it any more";
    case EINTR:
      return "a signal interrupted it: try again";
    case EIO:
      return "the disk reports a fault: write to another disk";
    default:
      return std::string(std::strerror(error)) + ": check the path and the disk";
  }
}

/// One sentence: what could not be done to which path, why, and what to do.
inline Error file_error(std::string_view what, const std::filesystem::path& path, int error) {
  return Error("cannot " + std::string(what) + " " + path.string() + ": " + advice(error), error);
}

}  // namespace tinygpt

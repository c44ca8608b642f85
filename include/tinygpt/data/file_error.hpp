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
    case ENOTDIR:
      return "a part of the path is a file, not a directory: check the path";
    case EISDIR:
      return "it is a directory, not a file: check the path";
    case EBUSY:
      return "it is a mount point or in use: choose a directory inside it";
    case EIO:
      return "the disk reports a fault: write to another disk";
    default:
      return std::string(std::strerror(error)) + ": check the path and the disk";
  }
}

/// One sentence: what could not be done to which path, why, and what to do.
inline Error file_error(std::string_view what, const std::filesystem::path& path, int error) {
  return Error("cannot " + std::string(what) + " " + path.string() + ": " + advice(error));
}

}  // namespace tinygpt

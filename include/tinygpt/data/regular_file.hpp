// Files are opened for reading in one way: what is no regular file is refused, as a pipe can wait for ever and a device
// never end.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <utility>

#include <tinygpt/data/descriptor.hpp>
#include <tinygpt/data/file_error.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// An existing regular file, open for reading, and its size in bytes. Anything else is an error: a directory, a pipe, a
/// socket, a device.
inline std::pair<Descriptor, std::int64_t> open_regular(const std::filesystem::path& path) {
  // Not to block where the path is a pipe without a writer; regular files do not know the flag.
  Descriptor fd(
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); }));
  const int error = errno;
  const auto refuse = [&] {
    return Error("cannot read " + path.string() + ": it is not a regular file: check the path", ENXIO);
  };
  if (!fd && (error == ENXIO || error == ENODEV)) throw refuse();  // a socket, or a device that is not there
  if (!fd) throw file_error("read", path, error);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw file_error("read", path, errno);
  if (S_ISDIR(status.st_mode)) throw file_error("read", path, EISDIR);
  if (!S_ISREG(status.st_mode)) throw refuse();
  return {std::move(fd), static_cast<std::int64_t>(status.st_size)};
}

}  // namespace tinygpt

// A directory that one process at a time may work in.
#pragma once

#include <sys/file.h>

#include <filesystem>
#include <string>
#include <string_view>

#include <tinygpt/io/file.hpp>

namespace tinygpt {

/// Creates the directory and locks it for as long as what it returns lives. Where another process has it, throws Error
/// with the sentence `busy`.
inline Descriptor lock_directory(const std::filesystem::path& path, std::string_view busy) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw file_error("create", path, error.value());
  Descriptor lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) throw file_error("open", path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) throw Error(std::string(busy));
  return lock;
}

}  // namespace tinygpt

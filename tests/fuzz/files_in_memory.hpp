// A directory whose files lie in memory, for readers that take a path.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

/// Made with empty files, removed at its end.
class FilesInMemory {
 public:
  explicit FilesInMemory(const std::vector<std::string>& names) {
    std::string directory = (std::filesystem::temp_directory_path() / "tinygpt-fuzz-XXXXXX").string();
    if (::mkdtemp(directory.data()) == nullptr) std::abort();
    path = directory;
    for (const std::string& name : names) {
      files_.push_back(::memfd_create(name.c_str(), 0));
      if (files_.back() < 0) std::abort();
      std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(files_.back()), path / name);
    }
  }
  ~FilesInMemory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  FilesInMemory(const FilesInMemory&) = delete;
  FilesInMemory& operator=(const FilesInMemory&) = delete;

  /// Gives the file of this number these bytes.
  void write(std::size_t file, std::string_view bytes) const {
    if (::ftruncate(files_[file], 0) != 0) std::abort();
    if (::pwrite(files_[file], bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  }

  std::filesystem::path path;

 private:
  std::vector<int> files_;
};

// A directory that appears at its name whole, or not at all, whenever the power goes.
#pragma once

#include <sys/file.h>

#include <atomic>
#include <cstdio>
#include <system_error>
#include <vector>

#include <tinygpt/io/file.hpp>

namespace tinygpt {

/// How a directory that is already there gives way: both names swapped at once, where the filesystem can, else one
/// rename after the other.
enum class Replacement { exchange, two_renames };

/// Files written into a temporary sibling of `target`, which takes the target's name in commit().
///
/// A crash at any moment leaves the old directory or the new one, and perhaps a sibling that clean_siblings() removes.
/// Without commit() the destructor removes what was written. A lock on the sibling tells others that it is alive.
class AtomicDirectory {
 public:
  explicit AtomicDirectory(std::filesystem::path target) : target_(std::move(target)) {
    static std::atomic<int> counter{0};
    int made;
    do {
      temporary_ = sibling(".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
      made = ::mkdir(temporary_.c_str(), 0777);
      if (made != 0 && errno != EEXIST) throw file_error("create", temporary_, errno);
    } while (made != 0 || !lock());
  }
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  ~AtomicDirectory() {
    std::error_code ignored;
    if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
  }

  /// Where to write the file of that name; finish() it before commit().
  std::filesystem::path path(std::string_view name) const { return temporary_ / name; }
  const std::filesystem::path& target() const { return target_; }

  /// Makes the directory durable under its name. What was there before is removed only after that.
  void commit(Replacement how = Replacement::exchange) {
    sync_directory(temporary_);
    const std::filesystem::path parent = parent_of(target_);
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE) == 0) {
      temporary_.clear();
    } else if (how == Replacement::exchange &&
               ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
      // The temporary name now holds the old directory, which the destructor removes.
    } else {
      const std::filesystem::path old = sibling(".old");
      std::error_code ignored;
      std::filesystem::remove_all(old, ignored);
      if (::rename(target_.c_str(), old.c_str()) != 0 && errno != ENOENT) throw file_error("replace", target_, errno);
      if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
        const int error = errno;
        ::rename(old.c_str(), target_.c_str());
        throw file_error("replace", target_, error);
      }
      sync_directory(parent);
      temporary_ = old;
    }
    sync_directory(parent);
  }

  /// The name of a hidden sibling; clean_siblings() removes those whose suffix begins with ".tmp-".
  static std::string sibling_name(const std::filesystem::path& target, std::string_view suffix) {
    std::string name(1, '.');
    name += target.filename().string();
    return name += suffix;
  }

  /// Removes what crashed writers left beside the directories in `parent`, and puts a directory back that lost its
  /// name between two renames. What a living writer holds is left alone.
  static void clean_siblings(const std::filesystem::path& parent) {
    std::error_code error;
    std::vector<std::filesystem::path> entries;
    for (const auto& entry : std::filesystem::directory_iterator(parent, error)) entries.push_back(entry.path());
    for (const auto& path : entries) {
      const std::string name = path.filename().string();
      if (name.empty() || name[0] != '.') continue;
      if (const auto end = name.rfind(".tmp-"); end != std::string::npos && end > 0) {
        const Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) std::filesystem::remove_all(path, error);
      } else if (name.ends_with(".old")) {
        const auto target = parent / name.substr(1, name.size() - 5);
        if (std::filesystem::exists(target, error))
          std::filesystem::remove_all(path, error);
        else
          std::filesystem::rename(path, target, error);
      }
    }
  }

 private:
  static std::filesystem::path parent_of(const std::filesystem::path& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  }
  std::filesystem::path sibling(std::string_view suffix) const {
    return parent_of(target_) / sibling_name(target_, suffix);
  }

  /// False where a cleaner took the directory away before it was locked.
  bool lock() {
    lock_ = Descriptor(::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock_) {
      if (errno == ENOENT) return false;
      throw file_error("open", temporary_, errno);
    }
    struct stat locked {
    }, named{};
    // A filesystem without locks loses the cleaner's courtesy, nothing else.
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
    return ::fstat(lock_.get(), &locked) == 0 && ::stat(temporary_.c_str(), &named) == 0 &&
           locked.st_ino == named.st_ino;
  }

  std::filesystem::path target_, temporary_;
  Descriptor lock_;
};

/// A file written beside its name and renamed: whole, or as it was before.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  const auto temporary = std::filesystem::path(path).concat(".tmp");
  try {
    OutputFile file(temporary);
    file.write(text);
    file.finish();
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) throw file_error("replace", path, errno);
  sync_directory(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

}  // namespace tinygpt

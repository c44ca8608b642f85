// A directory that appears at its name whole, or not at all, whenever the power goes.
#pragma once

#include <cstdio>
#include <string_view>
#include <system_error>

#include <tinygpt/io/atomic_file.hpp>
#include <tinygpt/io/file.hpp>
#include <tinygpt/io/sibling.hpp>

namespace tinygpt {

/// How a directory that is already there gives way: both names swapped at once, where the filesystem can, else one
/// rename after the other.
enum class Replacement { exchange, two_renames };

/// Files written into a temporary sibling of `target`, which takes the target's name in commit(). A target that is a
/// link stands for the directory that it names.
///
/// A crash at any moment leaves the old directory or the new one, and perhaps a sibling, which the next writer of the
/// target removes. Without commit() the destructor removes what was written. Only what was at the name from the
/// beginning gives way: what came there in the meantime stays, and commit() throws Error. So it does at once where the
/// target is a file or a mount point.
class AtomicDirectory {
 public:
  explicit AtomicDirectory(const std::filesystem::path& target)
      : target_(sibling::resolved(target)), temporary_(begin()) {}
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  ~AtomicDirectory() {
    std::error_code ignored;
    if (!temporary_.path.empty()) std::filesystem::remove_all(temporary_.path, ignored);
  }

  /// Where to write the file of that name; finish() it before commit().
  std::filesystem::path path(std::string_view name) const { return temporary_.path / name; }
  const std::filesystem::path& target() const { return target_; }

  /// Takes over what the target has beside the files that were written: by links where the filesystem has them.
  void keep_others() const {
    std::error_code error;
    for (std::filesystem::directory_iterator at(target_, error), end; !error && at != end; at.increment(error)) {
      using Copy = std::filesystem::copy_options;
      const auto to = temporary_.path / at->path().filename();
      if (std::filesystem::exists(std::filesystem::symlink_status(to, error))) continue;
      const auto how = Copy::recursive | Copy::copy_symlinks;
      std::filesystem::copy(at->path(), to, how | Copy::create_hard_links, error);
      if (!error) continue;
      std::filesystem::remove_all(to, error);
      std::filesystem::copy(at->path(), to, how, error);
      if (error) throw file_error("copy", at->path(), error.value());
    }
    if (error) throw file_error("read", target_, error.value());
  }

  /// Makes the directory durable under its name. What was there before is removed only after that.
  void commit(Replacement how = Replacement::exchange) {
    sync_directory(temporary_.path);
    const char* const from = temporary_.path.c_str();
    const Before now = look();
    if (before_.state != now.state || before_.inode != now.inode || before_.device != now.device) {
      throw Error("cannot replace " + target_.string() +
                  ": another process has changed it in the meantime: it stays as it is, so give another name");
    }
    if (before_.state == State::absent) {
      sibling::rename_to_new(temporary_.path, target_);
      temporary_.path.clear();
    } else if (before_.state == State::empty) {  // the system takes the name from an empty directory only
      if (::rename(from, target_.c_str()) != 0) throw file_error("replace", target_, errno);
      temporary_.path.clear();
    } else if (how == Replacement::two_renames ||
               ::renameat2(AT_FDCWD, from, AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0) {
      rename_twice();
    }  // else the temporary name holds the old directory now, which the destructor removes
    sync_directory(sibling::parent_of(target_));
  }

  /// Removes what crashed writers of the target left beside it, and puts it back where it lost its name between two
  /// renames. What a living writer holds is left alone.
  static void clean_siblings(const std::filesystem::path& target) { sibling::clean(sibling::resolved(target)); }

 private:
  enum class State { absent, empty, full };
  struct Before {
    State state = State::absent;
    ino_t inode = 0;
    dev_t device = 0;
  };

  /// What is at the target.
  Before look() const {
    struct stat status {};
    if (::lstat(target_.c_str(), &status) != 0) return {};
    if (!S_ISDIR(status.st_mode)) throw file_error("replace", target_, ENOTDIR);
    std::error_code error;
    const bool empty = std::filesystem::is_empty(target_, error);
    return {empty && !error ? State::empty : State::full, status.st_ino, status.st_dev};
  }

  sibling::Temporary begin() {
    sibling::expect_no_mount_point(target_);
    sibling::clean(target_);
    before_ = look();
    return sibling::make_temporary(target_, sibling::Kind::directory);
  }

  /// The lock on the old directory says to cleaners that its new name has a purpose.
  void rename_twice() {
    const auto old = sibling::of(target_, "old");
    std::error_code ignored;
    std::filesystem::remove_all(old, ignored);
    const Descriptor held(::open(target_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (held) static_cast<void>(sibling::try_lock(held));  // or this process has it already
    if (::rename(target_.c_str(), old.c_str()) != 0) throw file_error("replace", target_, errno);
    if (::rename(temporary_.path.c_str(), target_.c_str()) != 0) {
      const int error = errno;
      ::rename(old.c_str(), target_.c_str());
      throw file_error("replace", target_, error);
    }
    sync_directory(sibling::parent_of(target_));
    temporary_.path = old;
  }

  std::filesystem::path target_;
  Before before_;
  sibling::Temporary temporary_;
};

}  // namespace tinygpt

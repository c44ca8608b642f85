// A file that appears at its name whole, or not at all, and is written in pieces.
#pragma once

#include <tinygpt/io/file.hpp>
#include <tinygpt/io/sibling.hpp>

namespace tinygpt {

/// Bytes go to a temporary sibling of `target`, which commit() makes durable and gives the name; without commit() the
/// sibling is removed, and what was at the name before is still there. What came to the name in the meantime stays:
/// commit() throws Error.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target, Checksum checksum = Checksum::skip)
      : target_(std::move(target)),
        replaces_(is_there()),
        temporary_(sibling::make_temporary(target_, sibling::Kind::file)),
        // The lock lives as long as a duplicate of the descriptor.
        file_(temporary_.path, Descriptor(::fcntl(temporary_.fd.get(), F_DUPFD_CLOEXEC, 0)), checksum) {}
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.path.c_str());
  }

  void write(std::span<const std::byte> bytes) { file_.write(bytes); }
  void write(std::string_view text) { file_.write(text); }
  void replace_front(std::span<const std::byte> before, std::span<const std::byte> after) {
    file_.replace_front(before, after);
  }

  /// Waits until the disk has every byte, under the temporary name still.
  void finish() {
    if (!finished_) file_.finish();
    finished_ = true;
  }

  void commit() {
    finish();
    if (!replaces_) {
      sibling::rename_to_new(temporary_.path, target_);
    } else if (::rename(temporary_.path.c_str(), target_.c_str()) != 0) {
      throw file_error("replace", target_, errno);
    }
    committed_ = true;
    sync_directory(sibling::parent_of(target_));
  }

  const std::filesystem::path& target() const { return target_; }
  std::int64_t size() const { return file_.size(); }
  /// Of a file that takes its checksum.
  std::uint32_t crc() const { return file_.crc(); }

 private:
  /// Clears what crashed writers of the target left, too.
  bool is_there() const {
    sibling::clean(target_);
    struct stat status {};
    if (::lstat(target_.c_str(), &status) != 0) return false;
    if (S_ISDIR(status.st_mode)) throw file_error("write", target_, EISDIR);
    return true;
  }

  std::filesystem::path target_;
  bool replaces_;
  sibling::Temporary temporary_;
  OutputFile file_;
  bool finished_ = false, committed_ = false;
};

/// A file written beside its name and renamed: whole, or as it was before.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace tinygpt

// A file that appears at its name whole, or not at all, and is written in pieces.
#pragma once

#include <tinygpt/io/file.hpp>

namespace tinygpt {

/// Bytes go to a temporary sibling of `target`, which commit() makes durable and gives the name; without commit() the
/// sibling is removed, and what was at the name before is still there.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target)
      : target_(std::move(target)),
        temporary_(std::filesystem::path(target_).concat(".tmp-" + std::to_string(::getpid()))),
        file_(temporary_, Checksum::skip) {}
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) { file_.write(bytes); }
  void write(std::string_view text) { file_.write(text); }

  /// Waits until the disk has every byte, under the temporary name still.
  void finish() {
    if (!finished_) file_.finish();
    finished_ = true;
  }

  void commit() {
    finish();
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw file_error("replace", target_, errno);
    committed_ = true;
    sync_directory(target_.has_parent_path() ? target_.parent_path() : std::filesystem::path("."));
  }

  const std::filesystem::path& target() const { return target_; }
  std::int64_t size() const { return file_.size(); }

 private:
  std::filesystem::path target_, temporary_;
  OutputFile file_;
  bool finished_ = false, committed_ = false;
};

}  // namespace tinygpt

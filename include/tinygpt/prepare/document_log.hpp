// What is known of each document, and its tokens: two files that only grow, read front to back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include <tinygpt/data/regular_file.hpp>
#include <tinygpt/io/file.hpp>
#include <tinygpt/prepare/fingerprint.hpp>

namespace tinygpt::prepare {

/// A document, or a part of a long one, as it stands in a log: 32 bytes.
struct DocumentRecord {
  Fingerprint text;  ///< after the filters
  std::uint32_t bytes = 0;
  std::uint32_t tokens = 0;
  std::uint32_t source = 0;
  std::uint32_t ends = 1;  ///< 0: the next one goes on with the same document
};
static_assert(sizeof(DocumentRecord) == 32 && std::is_trivially_copyable_v<DocumentRecord>);

/// A file that grows at its end; opened anew at a length, it forgets what lay beyond.
class GrowingFile {
 public:
  GrowingFile(std::filesystem::path path, std::int64_t bytes)
      : path_(std::move(path)), fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666)), bytes_(bytes) {
    if (!fd_) throw file_error("create", path_, errno);
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) throw file_error("read", path_, errno);
    if (status.st_size < bytes) throw DamagedFile(path_.string() + " is shorter than it was: remove it and begin anew");
    if (::ftruncate(fd_.get(), bytes) != 0 || ::lseek(fd_.get(), bytes, SEEK_SET) < 0) {
      throw file_error("write", path_, errno);
    }
  }

  void write(std::span<const std::byte> bytes) {
    held_.insert(held_.end(), bytes.begin(), bytes.end());
    bytes_ += static_cast<std::int64_t>(bytes.size());
    if (held_.size() >= most_held) flush();
  }

  /// Waits until the disk has it all.
  void sync() {
    flush();
    while (::fsync(fd_.get()) != 0) {
      if (errno != EINTR) throw file_error("write", path_, errno);
    }
  }

  std::int64_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t most_held = std::size_t{1} << 20;

  void flush() {
    std::span<const std::byte> left = held_;
    while (!left.empty()) {
      const ssize_t n = ::write(fd_.get(), left.data(), left.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw file_error("write", path_, n < 0 ? errno : ENOSPC);
      left = left.subspan(static_cast<std::size_t>(n));
    }
    held_.clear();
  }

  std::filesystem::path path_;
  Descriptor fd_;
  std::int64_t bytes_;
  std::vector<std::byte> held_;
};

/// Reads values of one size from a file, front to back, through a buffer.
template <class Value> class SequentialFile {
 public:
  /// From value number `first` on.
  explicit SequentialFile(std::filesystem::path path, std::int64_t first = 0)
      : path_(std::move(path)), fd_(open_regular(path_).first) {
    rewind(first);
  }

  void rewind(std::int64_t first = 0) {
    offset_ = first * static_cast<std::int64_t>(sizeof(Value));
    used_ = held_ = 0;
  }

  /// Fills `to`; a file that ends before is an error.
  void read(std::span<Value> to) {
    for (std::size_t i = 0; i < to.size();) {
      if (used_ == held_) refill();
      const std::size_t n = std::min(to.size() - i, held_ - used_);
      std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(used_), n, to.begin() + static_cast<std::ptrdiff_t>(i));
      used_ += n, i += n;
    }
  }
  Value read() {
    Value value;
    read(std::span(&value, 1));
    return value;
  }

  void skip(std::int64_t values) {
    const auto here = std::min(values, static_cast<std::int64_t>(held_ - used_));
    used_ += static_cast<std::size_t>(here);
    offset_ += (values - here) * static_cast<std::int64_t>(sizeof(Value));
    if (values > here) used_ = held_ = 0;
  }

 private:
  void refill() {
    std::size_t bytes = 0;
    while (bytes < sizeof(Value)) {
      const ssize_t n = ::pread(fd_.get(), reinterpret_cast<std::byte*>(buffer_.data()) + bytes,
                                buffer_.size() * sizeof(Value) - bytes, offset_ + static_cast<std::int64_t>(bytes));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw file_error("read", path_, errno);
      if (n == 0) throw DamagedFile("cannot read " + path_.string() + ": the file ends too early: prepare it anew");
      bytes += static_cast<std::size_t>(n);
    }
    held_ = bytes / sizeof(Value), used_ = 0;
    offset_ += static_cast<std::int64_t>(held_ * sizeof(Value));
  }

  std::filesystem::path path_;
  Descriptor fd_;
  std::int64_t offset_ = 0;  ///< in the file, of what comes after the buffer
  std::vector<Value> buffer_ = std::vector<Value>((std::size_t{1} << 18) / sizeof(Value));
  std::size_t used_ = 0, held_ = 0;
};

}  // namespace tinygpt::prepare

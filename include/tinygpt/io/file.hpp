// Files whose every write and read is checked, with one sentence for each way to fail.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <tinygpt/data/descriptor.hpp>
#include <tinygpt/data/file_error.hpp>
#include <tinygpt/data/regular_file.hpp>
#include <tinygpt/data/stop_point.hpp>
#include <tinygpt/io/crc32c.hpp>

namespace tinygpt {

/// "1.5 MB": a size for people.
inline std::string size_text(std::int64_t bytes) {
  const char* const units[] = {"bytes", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  for (; value >= 1000 && unit < 4; ++unit) value /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

/// Bytes that may still be written to the filesystem of an existing file or directory; -1 where it does not say.
inline std::int64_t free_bytes(const std::filesystem::path& at) {
  struct statvfs fs {};
  if (::statvfs(at.c_str(), &fs) != 0) return -1;
  return static_cast<std::int64_t>(fs.f_bavail) * static_cast<std::int64_t>(fs.f_frsize);
}

/// Is the checksum of a file wanted? Where nobody knows what it should be, or will ask, it is not.
enum class Checksum { skip, take };

/// A new file, written from its beginning to its end. It is whole and on the disk only after finish(). What is there
/// already is never written over.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path, Checksum checksum = Checksum::take)
      : OutputFile(path, Descriptor(uninterrupted([&] {
                     return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
                   })),
                   checksum) {}
  /// One that has been opened, with nothing in it yet.
  OutputFile(std::filesystem::path path, Descriptor fd, Checksum checksum)
      : path_(std::move(path)), checksum_(checksum), fd_(std::move(fd)) {
    if (!fd_) throw file_error("create", path_, errno);
  }

  void write(std::span<const std::byte> bytes) {
    // What the system has just copied is in the processor's cache when the checksum looks at it.
    constexpr std::size_t in_cache = std::size_t{1} << 17, most = std::size_t{1} << 30;
    size_ += static_cast<std::int64_t>(bytes.size());
    while (!bytes.empty()) {
      may_stop_here();
      const auto piece = bytes.first(std::min(bytes.size(), checksum_ == Checksum::take ? in_cache : most));
      const ssize_t n = ::write(fd_.get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("write", n < 0 ? errno : ENOSPC, bytes.size());
      if (checksum_ == Checksum::take) crc_.update(piece.first(static_cast<std::size_t>(n)));
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }
  /// Writes other bytes over the first ones of the file, `before`: a header that counts what follows it.
  void replace_front(std::span<const std::byte> before, std::span<const std::byte> after) {
    if (before.size() != after.size() || static_cast<std::int64_t>(before.size()) > size_) {
      throw std::invalid_argument("OutputFile::replace_front: the file does not begin with as many bytes");
    }
    const auto rest = static_cast<std::uint64_t>(size_) - after.size();
    crc_.set(crc_.value() ^ crc32c_carried(crc32c(before) ^ crc32c(after), rest));
    for (std::size_t done = 0; done < after.size();) {
      const ssize_t n = ::pwrite(fd_.get(), after.data() + done, after.size() - done, static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("write", n < 0 ? errno : ENOSPC, after.size() - done);
      done += static_cast<std::size_t>(n);
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Waits until the disk has it all.
  void finish() {
    // Devices and pipes cannot be synchronised, and need not be.
    if (uninterrupted([&] { return ::fsync(fd_.get()); }) != 0 && errno != EINVAL) fail("write", errno, 0);
    if (!fd_.close()) fail("write", errno, 0);
  }

  const std::filesystem::path& path() const { return path_; }
  std::int64_t size() const { return size_; }
  /// Of a file that takes its checksum.
  std::uint32_t crc() const { return crc_.value(); }

 private:
  [[noreturn]] void fail(std::string_view what, int error, std::size_t left) const {
    if (error != ENOSPC && error != EDQUOT) throw file_error(what, path_, error);
    const std::int64_t free = free_bytes(path_);
    throw Error("cannot write " + path_.string() + ": the disk is full: " + size_text(static_cast<std::int64_t>(left)) +
                " more are needed" + (free >= 0 ? " and " + size_text(free) + " are free" : "") +
                ": free some space or write to another disk",
                error);
  }

  std::filesystem::path path_;
  Checksum checksum_;
  Descriptor fd_;
  std::int64_t size_ = 0;
  Crc32c crc_;
};

/// An existing regular file, read front to back; its size is checked once and never trusted beyond what comes.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path) : path_(std::move(path)) {
    std::tie(fd_, size_) = open_regular(path_);
  }

  /// Fills `bytes`; a file that ends before is an error.
  void read(std::span<std::byte> bytes) {
    const auto whole = bytes;
    may_stop_here();
    while (!bytes.empty()) {
      const ssize_t n = ::read(fd_.get(), bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw file_error("read", path_, errno);
      if (n == 0)
        throw DamagedFile("cannot read " + path_.string() +
                          ": the file ends too early: it is half-written, so use another copy");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    crc_.update(whole);
    position_ += static_cast<std::int64_t>(whole.size());
  }

  const std::filesystem::path& path() const { return path_; }
  std::int64_t size() const { return size_; }
  std::int64_t left() const { return size_ - position_; }
  /// Of what has been read.
  std::uint32_t crc() const { return crc_.value(); }

 private:
  std::filesystem::path path_;
  Descriptor fd_;
  std::int64_t size_ = 0, position_ = 0;
  Crc32c crc_;
};

/// The whole of a small file; one larger than `limit` is refused before memory is taken for it.
inline std::string read_small_file(const std::filesystem::path& path, std::int64_t limit = std::int64_t{16} << 20) {
  InputFile file(path);
  if (file.size() > limit) {
    throw DamagedFile("cannot read " + path.string() + ": it has " + size_text(file.size()) + ", more than the " +
                size_text(limit) + " that such a file may have: check that it is the right one");
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

/// Makes the names in a directory durable.
inline void sync_directory(const std::filesystem::path& directory) {
  const Descriptor fd(
      uninterrupted([&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd) throw file_error("open", directory, errno);
  if (uninterrupted([&] { return ::fsync(fd.get()); }) != 0 && errno != EINVAL) throw file_error("write", directory, errno);
}

}  // namespace tinygpt

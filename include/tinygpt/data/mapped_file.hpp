// A file in the address space, read only: pages come from the disk when they are read, and memory is never full of
// them.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include <tinygpt/data/descriptor.hpp>
#include <tinygpt/data/file_error.hpp>
#include <tinygpt/data/regular_file.hpp>
#include <tinygpt/data/stop_point.hpp>

namespace tinygpt {

namespace mapping {

/// Where this thread goes on when a page of a mapping cannot be had; null while it reads none.
inline thread_local sigjmp_buf* way_out = nullptr;
inline struct sigaction others_action {};

/// The system sends SIGBUS where a mapped page is beyond the end of a file that has become shorter, or where the disk
/// fails. Outside of guarded() it is somebody else's, and takes the way that it would have taken without this handler.
inline void on_bus_error(int signal, siginfo_t* info, void*) {
  if (way_out != nullptr && info->si_code > 0) siglongjmp(*way_out, 1);
  ::sigaction(SIGBUS, &others_action, nullptr);
  if (info->si_code <= 0) ::raise(signal);  // sent by a process; a fault comes again by itself
}

inline void watch_bus_errors() {
  static const bool watching = [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    return ::sigaction(SIGBUS, &action, &others_action) == 0;
  }();
  static_cast<void>(watching);
}

/// Runs body(), and says whether every page that it read was there. It may be left at any load, so it must hold
/// nothing: no locks, no memory, no objects with destructors.
template <class Body> [[gnu::noinline]] bool guarded(const Body& body) {
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) {
    way_out = nullptr;
    // The handler was left without returning: the system may still hold the signal back.
    sigset_t bus;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    ::pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
    return false;
  }
  // The handler runs in this thread, in the middle of the body: the compiler must move no load out of it.
  way_out = &here;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  body();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  way_out = nullptr;
  return true;
}

}  // namespace mapping

/// A regular file of at least one byte, mapped whole. Its size is checked once, when it is opened; what becomes of the
/// file later cannot hurt the process: read() throws where a page has gone.
class MappedFile {
 public:
  explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {
    mapping::watch_bus_errors();
    const auto [fd, bytes] = open_regular(path_);
    if (bytes == 0) throw DamagedFile(path_.string() + " is empty: copy it or prepare it again");
    const auto size = static_cast<std::uint64_t>(bytes);
    if (size > std::numeric_limits<std::size_t>::max() / 2) throw file_error("read", path_, EFBIG);
    void* const data = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ, MAP_SHARED, fd.get(), 0);
    if (data == MAP_FAILED) throw file_error("map", path_, errno);
    data_ = static_cast<const std::byte*>(data);
    size_ = static_cast<std::size_t>(size);
  }
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  const std::filesystem::path& path() const { return path_; }
  std::int64_t size() const { return static_cast<std::int64_t>(size_); }

  /// Calls body(bytes) with the whole file, and throws where a page of it cannot be read. As the body may be left at
  /// any load, it may copy and count, but must neither allocate nor lock.
  template <class Body> void read(const Body& body) const {
    static_assert(std::is_invocable_v<const Body&, std::span<const std::byte>>);
    may_stop_here();
    if (!mapping::guarded([&] { body(std::span<const std::byte>(data_, size_)); })) {
      throw DamagedFile(
          "cannot read " + path_.string() +
          ": it became shorter while it was in use, or the disk reports a fault: leave files alone that are "
          "being trained on, and go on with a whole copy");
    }
  }

  /// Of the first byte; to be read within read() only.
  const std::byte* address() const { return data_; }

  /// The pages of `bytes` bytes from `offset` on need not stay in this process: the system may keep them cached.
  void release(std::int64_t offset, std::int64_t bytes) const {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto from = static_cast<std::size_t>(offset) / page * page;
    const auto to = std::min(static_cast<std::size_t>(offset + bytes), size_);
    if (from < to) ::madvise(const_cast<std::byte*>(data_) + from, to - from, MADV_DONTNEED);
  }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tinygpt

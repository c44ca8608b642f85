// The frame that every program runs in: its standard streams and signals, and whatever goes wrong as one sentence and an
// exit code.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include <tinygpt/cli/exit.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/data/file_error.hpp>

namespace tinygpt::cli {

namespace process {

/// Opens descriptors 0 to 2 where they are closed: else the next file that is opened would become standard output and
/// get the lines that are for people.
inline void open_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      [[maybe_unused]] const int opened = ::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
    }
  }
}

/// A reader that has gone and a limit on a file's size become errors of write(), which are reported, instead of the
/// signals SIGPIPE and SIGXFSZ, which end a program without a word.
inline void ignore_signals_of_write() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

/// Memory that is kept back until there is no more. Destructors of the JSON library allocate, and may not fail: when
/// the first allocation fails, half of the reserve is freed and it is tried again; the next failure frees the rest for
/// the way out, and throws.
class MemoryReserve {
 public:
  MemoryReserve() {
    for (auto& half : halves_) half = std::malloc(std::size_t{1} << 20);
    std::set_new_handler(give_up);
  }
  ~MemoryReserve() {
    std::set_new_handler(nullptr);
    for (auto& half : halves_) std::free(half.exchange(nullptr));
  }
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;

 private:
  static void give_up() {
    if (void* const first = halves_[0].exchange(nullptr)) return std::free(first);
    std::free(halves_[1].exchange(nullptr));
    throw std::bad_alloc();
  }

  static inline std::array<std::atomic<void*>, 2> halves_{};
};

/// Has the reader of standard output gone, as `head` goes when it has seen enough?
inline bool reader_has_gone() {
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

inline Exit exit_of(const Error& error) {
  switch (error.system_error()) {
    case ENOMEM:
      return Exit::out_of_memory;
    case ENOSPC:
    case EDQUOT:
      return Exit::disk_full;
    default:
      return Exit::failed;
  }
}

}  // namespace process

/// Runs body() and returns what the process returns to the shell. Whatever is thrown becomes one sentence on standard
/// error after `name`; output that could not be written makes a command fail that would have succeeded.
template <class Body> int run_program(std::string_view name, Body&& body) {
  const auto complain = [&](std::string_view program, std::string_view sentence) {
    cli::complain(program, sentence, Style::red);
  };
  process::open_standard_streams();
  process::ignore_signals_of_write();
  const process::MemoryReserve reserve;
  const auto run = [&]() -> Exit {
    try {
      return body();
    } catch (const UsageError& error) {
      complain(name, error.what());
      return Exit::wrong_command_line;
    } catch (const OutOfMemory& error) {
      complain(name, error.what());
      return Exit::out_of_memory;
    } catch (const Error& error) {
      complain(name, error.what());
      return process::exit_of(error);
    } catch (const std::bad_alloc&) {
      complain(name, "there is not enough memory: close other programs, or give less work at a time (--batch-size, --threads)");
      return Exit::out_of_memory;
    } catch (const std::filesystem::filesystem_error& error) {
      const Error said = file_error("use", error.path1(), error.code().value());
      complain(name, said.what());
      return process::exit_of(said);
    } catch (const std::system_error& error) {
      complain(name, "the system refused a request: " + advice(error.code().value()));
      return error.code().value() == ENOMEM ? Exit::out_of_memory : Exit::failed;
    } catch (const std::exception& error) {
      complain(name, "an internal fault, which is a bug of tinygpt: " + std::string(error.what()) +
                         ": report the command and its input");
      return Exit::failed;
    }
  };
  const Exit exit = run();
  const bool flushed = std::fflush(stdout) == 0;
  if (exit == Exit::done && (!flushed || std::ferror(stdout) != 0)) {
    // Who has stopped reading wants no message; `| head` is no fault.
    if (!process::reader_has_gone()) complain(name, "cannot write to standard output: is its disk full?");
    return static_cast<int>(Exit::failed);
  }
  return static_cast<int>(exit);
}

}  // namespace tinygpt::cli

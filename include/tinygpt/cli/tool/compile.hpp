// The compiler as a child process: no shell, a line that moves while it works, and what it says as one sentence.
#pragma once

#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include <tinygpt/cli/exit.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/cli/tool/recipe.hpp>

extern "C" char** environ;

namespace tinygpt::cli::tool {

/// A line on standard error about something that takes a while; it moves where a person watches.
class WaitingLine {
 public:
  explicit WaitingLine(std::string text) : text_(std::move(text)) {
    const char* const term = std::getenv("TERM");
    moves_ = ::isatty(STDERR_FILENO) != 0 && (term == nullptr || std::string_view(term) != "dumb");
    std::fflush(stdout);
    if (!moves_) std::fprintf(stderr, "%s\n", text_.c_str());
  }
  ~WaitingLine() {
    if (moves_) std::fputs("\r\x1b[K", stderr);
  }
  WaitingLine(const WaitingLine&) = delete;
  WaitingLine& operator=(const WaitingLine&) = delete;

  void move() {
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
    if (!moves_) return;
    winsize size{};
    const std::size_t width = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
    const std::string time = " " + duration_text(seconds);
    const std::string shown =
        text_.size() + time.size() < width ? text_ : text_.substr(0, width - time.size() - 4) + "...";
    std::fprintf(stderr, "\r%s%s\x1b[K", shown.c_str(), time.c_str());
  }

 private:
  std::string text_;
  bool moves_ = false;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

/// What a child process left.
struct Outcome {
  int status = 0;  ///< 0 where it did what it was asked
  std::string said;
};

/// A file in memory that holds `text`.
inline Descriptor memory_file(std::string_view text = {}) {
  Descriptor file(::memfd_create("tinygpt", MFD_CLOEXEC));
  if (!file) throw file_error("create", "a file in memory", errno);
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) throw file_error("write", "a file in memory", errno);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

/// Runs a program by its path; `input` is what it reads. Calls wait() ten times a second. A signal that asks this
/// program to end ends the child with all of its own children, calls clean(), and is then obeyed.
template <class Wait, class Clean>
Outcome run_child(const std::vector<std::string>& command, std::string_view input, Wait&& wait, Clean&& clean) {
  const Descriptor in = memory_file(input), out = memory_file();
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&files, in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, out.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, out.get(), STDERR_FILENO);
  sigset_t usual;
  ::sigemptyset(&usual);
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::sigaddset(&usual, signal);
  ::posix_spawnattr_setsigdefault(&attributes, &usual);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  const Signals signals;
  pid_t child = 0;
  const int fault = ::posix_spawn(&child, command[0].c_str(), &files, &attributes, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (fault != 0) throw file_error("run", command[0], fault);

  int status = 0, stopped_by = 0;
  for (pid_t ended = 0; ended != child;) {
    ended = ::waitpid(child, &status, stopped_by == 0 ? WNOHANG : 0);
    if (ended < 0 && errno != EINTR) throw file_error("run", command[0], errno);
    if (ended == child) break;
    if (stopped_by = signals.received(); stopped_by != 0) {
      ::kill(-child, SIGKILL);
    } else {
      wait();
      ::poll(nullptr, 0, 20);
    }
  }
  if (stopped_by != 0) {
    clean();
    std::signal(stopped_by, SIG_DFL);
    ::raise(stopped_by);
  }
  Outcome outcome{status,
                  std::string(static_cast<std::size_t>(std::max<off_t>(0, ::lseek(out.get(), 0, SEEK_END))), '\0')};
  [[maybe_unused]] const ssize_t n = ::pread(out.get(), outcome.said.data(), outcome.said.size(), 0);
  return outcome;
}

/// The first thing that a compiler complains about: the sentence of the library where it has one.
inline std::string first_complaint(std::string_view said) {
  constexpr std::string_view ours = "tinygpt: ";
  std::string_view first;
  for (std::size_t at = 0; at < said.size();) {
    const std::size_t end = std::min(said.find('\n', at), said.size());
    const std::string_view line = said.substr(at, end - at);
    at = end + 1;
    const std::size_t error = line.find("error: ");
    if (error == std::string_view::npos) continue;
    const std::size_t sentence = line.find(ours, error);
    if (line.find("static", error) != std::string_view::npos && sentence != std::string_view::npos) {
      std::string_view words = line.substr(sentence + ours.size());
      if (words.ends_with('"')) words.remove_suffix(1);
      return std::string(words);
    }
    if (first.empty()) first = line.substr(error + 7);
  }
  return std::string(first);
}

/// Throws what a compiler that failed has said; `log` is where all of it lies, or empty.
[[noreturn]] inline void throw_complaint(const Outcome& outcome, const std::filesystem::path& log) {
  const auto has = [&](std::string_view words) { return outcome.said.find(words) != std::string::npos; };
  if (has("Killed signal") || has("virtual memory exhausted") || has("out of memory") ||
      has("Cannot allocate memory")) {
    throw OutOfMemory("the compiler had not enough memory, of which it needs some 2 GiB: close other programs");
  }
  if (has("No space left on device")) {
    throw Error("the compiler found the disk full: free some space, or set XDG_CACHE_HOME and TMPDIR to another disk",
                ENOSPC);
  }
  const std::string complaint = first_complaint(outcome.said);
  const bool refused = outcome.said.find("tinygpt: " + complaint) != std::string::npos;
  throw Error(!complaint.empty() && refused
                  ? complaint
                  : "the compiler failed" + (complaint.empty() ? "" : ": " + complaint) +
                        (log.empty() ? ": see that it compiles C++20" : ": all that it said is in " + log.string()));
}

}  // namespace tinygpt::cli::tool

// The program as its commands see it, and the signals that a person sends it.
#pragma once

#include <array>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include <unistd.h>

#include <tinygpt/cli/exit.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/data/file_error.hpp>
#include <tinygpt/data/stop_point.hpp>
#include <tinygpt/data/utf8.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt::cli {

struct Program {
  std::string preset;     ///< "tiny_char"
  std::string command;    ///< as the user called it, such as build/release/tinygpt-tiny_char
  std::string label;      ///< the size that documents give the model, "~3M"; empty where they give none
  TrainOptions defaults;  ///< of train
};

/// One sentence on standard error, in one line. What ends the program is red there, where there is a terminal.
inline void complain(std::string_view program, std::string_view sentence, Style style = Style::yellow) {
  std::fflush(stdout);
  const std::string name = styled(program, style, STDERR_FILENO);
  std::fprintf(stderr, "%s: %s\n", name.c_str(), one_line(sentence).c_str());
}
inline void complain(const Program& program, std::string_view sentence) {
  complain("tinygpt-" + program.preset, sentence);
}

/// Standard output cannot be written: exit code 1 in every command, also where its disk is full.
inline Error standard_output_error(int error) { return Error(file_error("write to", "standard output", error).what()); }

/// A word as a shell reads it back. Control characters and bytes that are not UTF-8 are written as escapes ($'\x1b'),
/// so that the terminal does not obey them and the command still means the same bytes.
inline std::string shell_quoted(const std::string& word) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=+,@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  if (printable(word) == word && word.find('\n') == std::string::npos && word.find('\t') == std::string::npos) {
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
  }
  std::string quoted = "$'";
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr const char* digits = "0123456789abcdef";
    if (byte < 0x20 || byte >= 0x7F) {
      quoted += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    } else {
      if (c == '\'' || c == '\\') quoted += '\\';
      quoted += c;
    }
  }
  return quoted + "'";
}

/// While it lives, Ctrl-C, SIGTERM and SIGHUP (the terminal closes) are noted instead of obeyed; the second one ends the
/// program at once. A SIGHUP that is ignored, as under nohup, stays ignored.
class Signals {
 public:
  Signals() {
    received_ = 0;
    struct sigaction action {};
    action.sa_handler = note;
    for (std::size_t i = 0; i < caught.size(); ++i) {
      ::sigaction(caught[i], nullptr, &old_[i]);
      if (caught[i] != SIGHUP || old_[i].sa_handler != SIG_IGN) ::sigaction(caught[i], &action, nullptr);
    }
  }
  ~Signals() {
    for (std::size_t i = 0; i < caught.size(); ++i) ::sigaction(caught[i], &old_[i], nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// The number of the signal that came, or 0.
  static int received() { return received_; }

 private:
  static void note(int signal) {
    if (received_ != 0) ::_exit(128 + signal);
    received_ = signal;
  }

  static constexpr std::array<int, 3> caught{SIGINT, SIGTERM, SIGHUP};
  static inline volatile std::sig_atomic_t received_ = 0;
  std::array<struct sigaction, 3> old_{};
};

/// Runs body(). Where a signal comes its reads and writes end, what it has not finished is removed, and a sentence and
/// the exit code say so.
template <class Body> Exit until_signal(Body&& body) {
  const Signals signals;
  const StopPoints points([] { return Signals::received() != 0; });
  try {
    return body();
  } catch (const Interrupted&) {
    std::printf("stopped; nothing was written\n");
    return static_cast<Exit>(128 + Signals::received());
  }
}

}  // namespace tinygpt::cli

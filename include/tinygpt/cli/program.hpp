// The program as its commands see it, and the signals that a person sends it.
#pragma once

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include <unistd.h>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt::cli {

struct Program {
  std::string preset;     ///< "tiny_char"
  std::string command;    ///< as the user called it, such as build/release/tinygpt-tiny_char
  std::string label;      ///< the size that documents give the model, "~3M"; empty where they give none
  TrainOptions defaults;  ///< of train
};

/// One sentence on standard error.
inline void complain(const Program& program, std::string_view sentence) {
  std::string line;
  for (const char c : printable(sentence)) line += c == '\n' ? std::string("\\n") : std::string(1, c);
  std::fflush(stdout);
  std::fprintf(stderr, "tinygpt-%s: %s\n", program.preset.c_str(), line.c_str());
}

/// A word as a shell reads it back.
inline std::string shell_quoted(const std::string& word) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=+,@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

/// While it lives, Ctrl-C and SIGTERM are noted instead of obeyed; the second one ends the program at once.
class Signals {
 public:
  Signals() {
    struct sigaction action {};
    action.sa_handler = note;
    ::sigaction(SIGINT, &action, &old_interrupt_);
    ::sigaction(SIGTERM, &action, &old_terminate_);
    received_ = 0;
  }
  ~Signals() {
    ::sigaction(SIGINT, &old_interrupt_, nullptr);
    ::sigaction(SIGTERM, &old_terminate_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// The number of the signal that came, or 0.
  int received() const { return received_; }

 private:
  static void note(int signal) {
    if (received_ != 0) ::_exit(128 + signal);
    received_ = signal;
  }

  static inline volatile std::sig_atomic_t received_ = 0;
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

}  // namespace tinygpt::cli

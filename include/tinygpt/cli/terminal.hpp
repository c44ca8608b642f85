// What people look at: numbers in groups, colours and a progress bar where there is a terminal.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace tinygpt::cli {

/// Does a person watch standard output (or that descriptor)?
inline bool on_terminal(int descriptor = STDOUT_FILENO) {
  const char* const term = std::getenv("TERM");
  return ::isatty(descriptor) != 0 && (term == nullptr || std::string_view(term) != "dumb");
}

enum class Style { bold, dim, red, yellow };

/// The text in that style, where a person watches the descriptor and has not said NO_COLOR (no-color.org).
inline std::string styled(std::string_view text, Style style, int descriptor = STDOUT_FILENO) {
  constexpr const char* codes[] = {"1", "2", "31", "33"};
  const char* const none = std::getenv("NO_COLOR");
  if (!on_terminal(descriptor) || (none != nullptr && *none != '\0')) return std::string(text);
  return "\x1b[" + std::string(codes[static_cast<int>(style)]) + "m" + std::string(text) + "\x1b[0m";
}

inline std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

template <class... Values> std::string format(const char* pattern, Values... values) {
  char text[512];
  const int length = std::snprintf(text, sizeof text, pattern, values...);
  return std::string(text, static_cast<std::size_t>(std::clamp(length, 0, static_cast<int>(sizeof text) - 1)));
}

/// "1,234,567".
inline std::string grouped(std::int64_t n) {
  const std::string digits = std::to_string(n);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

/// "0.84 M": a count for people.
inline std::string short_count(double n) {
  const char* const units[] = {"", " k", " M", " G", " T"};
  int unit = 0;
  for (; n >= 1000 && unit < 4; ++unit) n /= 1000;
  return format(unit == 0 ? "%.0f%s" : n < 10 ? "%.2f%s" : n < 100 ? "%.1f%s" : "%.0f%s", n, units[unit]);
}

/// "45.1 MiB": memory for people.
inline std::string memory_text(std::int64_t bytes) {
  const double kib = static_cast<double>(bytes) / 1024;
  if (kib < 1024) return format("%.1f KiB", kib);
  return kib < 1024 * 1024 ? format("%.1f MiB", kib / 1024) : format("%.2f GiB", kib / (1024 * 1024));
}

/// "12m31s".
inline std::string duration_text(double seconds) {
  const auto s = static_cast<long long>(std::clamp(seconds, 0.0, 1e9) + 0.5);
  if (s < 60) return format("%llds", s);
  if (s < 3600) return format("%lldm%02llds", s / 60, s % 60);
  return format("%lldh%02lldm", s / 3600, s / 60 % 60);
}

/// A line at the bottom of the terminal, redrawn at most ten times a second; nothing where there is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(bool shown) : shown_(shown) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  bool shown() const { return shown_; }

  /// `right` is what stands after the bar, such as "loss 2.1543  39,800 tok/s  eta 2m31s".
  void draw(std::int64_t done, std::int64_t total, std::string_view right) {
    draw("step " + grouped(done) + "/" + grouped(total), done, total, right);
  }
  /// `what` stands before it.
  void draw(std::string_view what, std::int64_t done, std::int64_t total, std::string_view right) {
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || (drawn_ && now - last_ < std::chrono::milliseconds(100))) return;
    last_ = now;
    drawn_ = true;
    const std::string left = std::string(what) + " ";
    // Three columns stay free: the terminal's own ^C must not begin another line, which clear() would not reach.
    const std::size_t width = std::max<std::size_t>(terminal_width(), 4) - 3, text = left.size() + right.size() + 3;
    std::string line = left;
    if (width > text + 5) {
      const std::size_t cells = std::min<std::size_t>(width - text, 40);
      const auto full = static_cast<std::size_t>(static_cast<double>(cells) *
                                                 static_cast<double>(std::min(done, total)) /
                                                 static_cast<double>(std::max<std::int64_t>(total, 1)));
      line += "[" + std::string(full, '#') + std::string(cells - full, '-') + "] ";
    }
    line += right;
    line.resize(std::min(line.size(), width));
    std::printf("\r%s\x1b[K", line.c_str());
    std::fflush(stdout);
  }

  /// A text in the bar's place, at once.
  void show(std::string_view text) {
    if (!shown_) return;
    drawn_ = true;
    std::printf("\r%.*s\x1b[K", static_cast<int>(text.size()), text.data());
    std::fflush(stdout);
  }

  /// Makes room for other lines.
  void clear() {
    if (!drawn_) return;
    std::printf("\r\x1b[K");
    std::fflush(stdout);
    drawn_ = false;
  }

 private:
  bool shown_, drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace tinygpt::cli

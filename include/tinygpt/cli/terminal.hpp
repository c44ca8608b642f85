// What people look at: numbers in groups, tables, and a progress bar where there is a terminal.
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

/// Does a person watch standard output?
inline bool on_terminal() {
  const char* const term = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) != 0 && (term == nullptr || std::string_view(term) != "dumb");
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

/// Columns as wide as their widest cell. Right-aligned ones are named by `right`.
inline std::string table_text(const std::vector<std::vector<std::string>>& rows, std::string_view alignment) {
  std::vector<std::size_t> widths(alignment.size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line = "  ";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      line += (alignment[i] == 'r' ? padding + row[i] : row[i] + padding) + "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// A paragraph for standard output: on a terminal broken between words, later lines two columns further in.
inline std::string paragraph(const std::string& text) {
  if (!on_terminal()) return text + "\n";
  const std::size_t width = std::max<std::size_t>(terminal_width(), 20);
  const std::size_t indent = std::min(text.find_first_not_of(' '), text.size()) + 2;
  std::string lines, rest = text;
  while (rest.size() > width) {
    std::size_t at = rest.rfind(' ', width);
    if (at == std::string::npos || at < indent) at = rest.find(' ', width);  // a longer word than there is room for
    if (at == std::string::npos) break;
    lines += rest.substr(0, at) + "\n";
    rest = std::string(indent, ' ') + rest.substr(at + 1);
  }
  return lines + rest + "\n";
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

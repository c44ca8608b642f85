// Text that fits the width of a terminal: wrapped lines and tables.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/cli/terminal.hpp>

namespace tinygpt::cli {

/// Columns that text may take, 40 or more: what COLUMNS says, else the terminal's; nothing where there is neither, as
/// in a pipe, where every width is right.
inline std::optional<std::size_t> text_width() {
  constexpr long least = 40, most = 10'000;
  if (const char* const columns = std::getenv("COLUMNS")) {
    char* end = nullptr;
    const long width = std::strtol(columns, &end, 10);
    if (*end == '\0' && width > 0) return static_cast<std::size_t>(std::clamp(width, least, most));
  }
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 0) return std::nullopt;
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? std::max<std::size_t>(size.ws_col, least) : 80;
}

/// Columns that a text takes: characters, not bytes.
inline std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// The text in lines of at most `width` columns, broken between words; within a word only where it is longer than a
/// line.
inline std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  const auto append = [&](std::string_view word) {
    if (!lines.back().empty() && columns_of(lines.back()) + 1 + columns_of(word) > width) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    for (std::size_t column = columns_of(lines.back()), at = 0; at < word.size(); ++column) {
      if (column == width) lines.emplace_back(), column = 0;
      do lines.back() += word[at++];
      while (at < word.size() && (static_cast<unsigned char>(word[at]) & 0xC0) == 0x80);
    }
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    if (end > at) append(text.substr(at, end - at));
    if (end < text.size() && text[end] == '\n') lines.emplace_back();
    at = end + 1;
  }
  return lines;
}

/// Lines of text that are longer are hard to read, however wide the terminal is.
inline constexpr std::size_t readable = 110;

/// A paragraph, which may begin with spaces: on a terminal broken between words, later lines two columns further in.
inline std::string paragraph(std::string_view text) {
  const auto width = text_width();
  const std::size_t first = std::min(text.find_first_not_of(' '), text.size());
  if (!width || first + 2 >= *width) return std::string(text) + "\n";
  std::string all;
  for (const auto& line : wrapped(text.substr(first), *width - first - 2)) {
    all += std::string(all.empty() ? first : first + 2, ' ') + line + "\n";
  }
  return all;
}

/// A text of several lines, wrapped. A line that begins with a space is kept as it is, such as a command to copy.
inline std::string fitted(std::string_view text) {
  const auto width = text_width();
  if (!width) return std::string(text);
  std::string all;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(" ")) {
      all.append(line) += '\n';
    } else {
      for (const auto& each : wrapped(line, std::min(*width, readable))) all += each + '\n';
    }
    at = end + 1;
  }
  return all;
}

/// A command to copy, indented; where it is wider than the terminal its flags go to further lines, as a shell reads
/// them.
inline std::string fitted_command(const std::string& command) {
  const std::size_t width = text_width().value_or(std::string::npos), room = 4;  // of the indent and of " \\"
  std::string text, line = "  ";
  for (std::size_t at = 0; at < command.size();) {
    const std::size_t end = std::min(command.find(" --", at + 1), command.size());
    const std::string part = command.substr(at, end - at);
    if (columns_of(line) > room && columns_of(line) + columns_of(part) + 2 > width) {
      text += line + " \\\n";
      line = "   ";
    }
    line += part;
    at = end;
  }
  return text + line + "\n";
}

/// Does a table's first row name its columns?
enum class Header { no, yes };

/// Columns as wide as their widest cell, aligned left or right ('l', 'r'). Where the terminal is narrower, the columns
/// of `expendable` are left out, the first first; then text on the left wraps; then columns go from the right.
inline std::string table_text(std::vector<std::vector<std::string>> rows, std::string alignment,
                              Header header = Header::no, std::vector<std::size_t> expendable = {}) {
  constexpr std::size_t least = 10, gap = 2;
  std::vector<std::size_t> kept(alignment.size()), widths(alignment.size());
  std::iota(kept.begin(), kept.end(), std::size_t{0});
  const std::size_t width = text_width().value_or(std::string::npos);
  const auto total = [&] {
    std::size_t sum = 0;
    for (const std::size_t column : kept) sum += gap + widths[column];
    return sum;
  };
  const auto whole = [&] {
    std::fill(widths.begin(), widths.end(), 0);
    for (const auto& row : rows) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
    }
    return total() <= width;
  };
  const auto narrowed = [&] {
    while (total() > width) {
      std::size_t widest = alignment.size();
      for (const std::size_t column : kept) {
        const bool wraps = alignment[column] == 'l' && widths[column] > least;
        if (wraps && (widest == alignment.size() || widths[column] > widths[widest])) widest = column;
      }
      if (widest == alignment.size()) return false;
      --widths[widest];
    }
    return true;
  };
  std::string left_out;
  const auto leave_out = [&](std::size_t column) {
    kept.erase(std::find(kept.begin(), kept.end(), column));
    if (header == Header::yes) left_out += (left_out.empty() ? "" : ", ") + rows.front()[column];
  };
  for (std::size_t i = 0; !whole() && i < expendable.size(); ++i) leave_out(expendable[i]);
  while (!whole() && !narrowed() && kept.size() > 1) leave_out(kept.back());
  if (kept.size() == 1) widths[kept[0]] = std::min(widths[kept[0]], width - gap);

  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::vector<std::vector<std::string>> cells;
    std::size_t height = 1;
    for (const std::size_t column : kept) {
      cells.push_back(column < rows[r].size() ? wrapped(rows[r][column], widths[column])
                                              : std::vector<std::string>{""});
      height = std::max(height, cells.back().size());
    }
    for (std::size_t h = 0; h < height; ++h) {
      std::string line;
      for (std::size_t i = 0; i < kept.size(); ++i) {
        const std::string cell = h < cells[i].size() ? cells[i][h] : "";
        const std::string padding(widths[kept[i]] - columns_of(cell), ' ');
        line += std::string(gap, ' ') + (alignment[kept[i]] == 'r' ? padding + cell : cell + padding);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += (header == Header::yes && r == 0 ? styled(line, Style::bold) : line) + "\n";
    }
  }
  if (!left_out.empty()) {
    text +=
        styled(fitted("Left out of this width: " + left_out + ". A wider terminal or --json shows it."), Style::dim);
  }
  return text;
}

}  // namespace tinygpt::cli

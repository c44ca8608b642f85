// What tinygpt prepare shows: progress while it works, and what became of each source.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/left_out.hpp>
#include <tinygpt/prepare/assemble.hpp>

namespace tinygpt::cli::tool::preparation {

/// A bar while text is read; on anything but a terminal a line every ten seconds.
class Display {
 public:
  explicit Display(bool quiet) : quiet_(quiet), bar_(!quiet && on_terminal()) {}

  void encoding(const prepare::Encoding::Progress& p) {
    const double seconds = since(begun_);
    const double rate = seconds > 0 ? static_cast<double>(p.text_bytes) / 1e6 / seconds : 0;
    const double left = p.bytes_read > 0 ? seconds * static_cast<double>(p.bytes_total - p.bytes_read) /
                                               static_cast<double>(p.bytes_read)
                                         : 0;
    const std::string right = short_count(static_cast<double>(p.tokens)) + " tokens  " + format("%.1f MB/s", rate) +
                              "  eta " + duration_text(left);
    const std::string what = "encoded " + size_text(p.bytes_read) + "/" + size_text(p.bytes_total);
    bar_.draw(what, p.bytes_read, p.bytes_total, right);
    plain(what + "  " + right);
  }
  void writing(std::int64_t tokens) {
    bar_.draw("written", 0, 1, short_count(static_cast<double>(tokens)) + " tokens");
    plain("written " + short_count(static_cast<double>(tokens)) + " tokens");
  }
  void end() { bar_.clear(); }
  void say(const std::string& line) {
    bar_.clear();
    if (!quiet_) std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

  void plain(const std::string& line) {
    if (quiet_ || bar_.shown() || since(said_) < 10) return;
    said_ = Clock::now();
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  bool quiet_;
  ProgressBar bar_;
  Clock::time_point begun_ = Clock::now(), said_ = Clock::now();
};

inline std::string times_text(const prepare::SourceReport& s) {
  if (s.train.available == 0) return "0";
  return format("%.2f", static_cast<double>(s.given) / static_cast<double>(s.train.available));
}

inline std::int64_t left_out(const prepare::SourceReport& s) {
  return s.duplicates + s.counts.empty + s.counts.too_short + s.counts.too_long + s.counts.bad;
}

/// "3 there already, 2 not readable: a.txt:7: it is not UTF-8 at offset 90; ...".
inline std::string left_out_text(const prepare::SourceReport& s) {
  std::string text;
  const auto add = [&](std::int64_t count, const char* what) {
    if (count > 0) text += (text.empty() ? "" : ", ") + grouped(count) + " " + what;
  };
  add(s.duplicates, "there already");
  add(s.counts.empty, "empty");
  add(s.counts.too_short, "too short");
  add(s.counts.too_long, "too long");
  add(s.counts.bad, "not readable");
  return text + (s.bad.empty() ? "" : ": " + named_text(s.bad, s.counts.bad));
}

/// What is worth a remark.
inline std::vector<std::string> remarks(const prepare::Report& report, const prepare::AssembleOptions& options) {
  std::vector<std::string> remarks;
  for (const prepare::SourceReport& s : report.sources) {
    if (left_out(s) > 0) remarks.push_back("left out of " + s.name + ": " + left_out_text(s));
    const auto files = file_remarks(s.name, s.passed_over, s.rows_as_text);
    remarks.insert(remarks.end(), files.begin(), files.end());
    if (s.train.target < s.train.wanted) {
      remarks.push_back(s.name + " has " + grouped(s.train.available) + " of the " + grouped(s.train.wanted) +
                        " tokens that its weight wants" +
                        (options.mixture.repeat ? format(", even %g times", options.mixture.max_repeat)
                                                : std::string(": --repeat gives it more than once")));
    }
    if (s.validation == 0 && options.val_fraction > 0 && s.train.available > 0) {
      remarks.push_back(s.name + " gives nothing for validation: it has too few documents");
    }
  }
  return remarks;
}

inline Report report_json(const prepare::Report& report, const std::string& out) {
  Report json{
      {"out", bytes_text(out)}, {"train_tokens", report.train_tokens}, {"val_tokens", report.validation_tokens}};
  for (const prepare::SourceReport& s : report.sources) {
    Report source{{"name", s.name}};
    prepare::for_each_count(s.counts, [&](const char* name, std::int64_t count) { source[name] = count; });
    source["duplicates"] = s.duplicates;
    source["first_bad"] = s.bad;
    source["passed_over"] = Report::array();
    for (const auto& file : s.passed_over) {
      source["passed_over"].push_back({{"path", bytes_text(file.path.string())}, {"why", file.why}});
    }
    source["train_tokens"] = s.given;
    source["val_tokens"] = s.validation;
    json["sources"].push_back(source);
  }
  return json;
}

inline void print(const prepare::Report& report, const std::string& out, const Tokenizer& tokenizer,
                  const prepare::AssembleOptions& options) {
  std::vector<std::vector<std::string>> rows{
      {"source", "documents", "text", "left out", "tokens", "to train on", "times", "to validate with"}};
  for (const prepare::SourceReport& s : report.sources) {
    rows.push_back({one_line(s.name), grouped(s.counts.documents), s.counts.bytes > 0 ? size_text(s.counts.bytes) : "-",
                    grouped(left_out(s)), grouped(s.counts.tokens), grouped(s.given), times_text(s),
                    grouped(s.validation)});
  }
  std::printf("%s", table_text(rows, "lrrrrrrr", Header::yes).c_str());
  for (const std::string& remark : remarks(report, options)) {
    std::printf("  %s %s\n", styled("!", Style::yellow).c_str(), one_line(remark).c_str());
  }
  std::printf("\n%s: %s tokens to train on, %s to validate with; %s\n", one_line(out).c_str(),
              grouped(report.train_tokens).c_str(), grouped(report.validation_tokens).c_str(),
              tokenizer.description().c_str());
}

}  // namespace tinygpt::cli::tool::preparation

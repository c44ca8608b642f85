// What a training run tells: a progress bar or plain lines, and metrics.jsonl.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/cli/gpu_use.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/io/file.hpp>
#include <tinygpt/train/trainer.hpp>

namespace tinygpt::cli {

/// What an evaluation found, in nats per token; `others` are of --eval-dataset-dir.
struct Losses {
  double train = 0, validation = 0;
  std::vector<std::pair<std::string, double>> others;
};

/// metrics.jsonl: one JSON object per line, for every iteration and for every evaluation. Each line has the tokens that
/// the run has been trained on, the time in seconds since 1970, and the seconds since this part of the run began.
class Metrics {
 public:
  explicit Metrics(std::filesystem::path path)
      : path_(std::move(path)), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
    if (!file_) throw file_error("write", path_, errno);
  }

  // Lines wait in memory for write().
  void step(const StepReport& report, std::int64_t tokens, double tokens_per_second, const std::optional<GpuUse>& gpu) {
    line("{\"step\":" + std::to_string(report.iteration) + ",\"loss\":" + number(report.loss) +
         ",\"grad_norm\":" + number(report.grad_norm) + ",\"learning_rate\":" + number(report.learning_rate) +
         ",\"tokens_per_second\":" + format("%.0f", tokens_per_second) + (gpu ? gpu->members() : "") +
         (report.skipped ? ",\"skipped\":true" : "") + moment(tokens));
  }
  void evaluation(std::int64_t step, std::int64_t tokens, const Losses& losses) {
    std::string text = "{\"step\":" + std::to_string(step) + ",\"train_loss\":" + number(losses.train) +
                       ",\"val_loss\":" + number(losses.validation);
    for (const auto& [name, loss] : losses.others) text += ",\"val_loss_" + name + "\":" + number(loss);
    line(text + moment(tokens));
  }

  /// Writes the lines that wait; one goes out whole, so that a reader that follows the file never sees half of it.
  /// Where it throws, as of a full disk, the next call goes on at the byte where this one ended.
  void write() {
    while (!waiting_.empty()) {
      const ssize_t n = ::write(file_.get(), waiting_.data(), waiting_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw file_error("write", path_, n < 0 ? errno : ENOSPC);
      waiting_.erase(0, static_cast<std::size_t>(n));
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// JSON has no word for what is not finite.
  static std::string number(double value) { return std::isfinite(value) ? format("%.9g", value) : "null"; }

  std::string moment(std::int64_t tokens) const {
    return ",\"tokens\":" + std::to_string(tokens) + ",\"time\":" + std::to_string(std::time(nullptr)) +
           ",\"elapsed\":" + format("%.3f", std::chrono::duration<double>(Clock::now() - begun_).count()) + "}";
  }

  void line(const std::string& text) { waiting_ += text + "\n"; }

  std::filesystem::path path_;
  Descriptor file_;
  std::string waiting_;
  Clock::time_point begun_ = Clock::now();
};

/// The run as a person follows it.
class TrainDisplay {
 public:
  /// `log_every` iterations there is a plain line, where there is no terminal for a bar.
  TrainDisplay(std::int64_t total, std::int64_t log_every, std::int64_t tokens_per_step,
               std::unique_ptr<GpuWatch> gpu = nullptr)
      : bar_(on_terminal()),
        total_(total),
        log_every_(log_every),
        tokens_per_step_(tokens_per_step),
        gpu_(std::move(gpu)) {}

  /// The present rate in tokens per second, and what the card did when it was last asked.
  struct Rate {
    double tokens_per_second = 0;
    std::optional<GpuUse> gpu;
  };

  /// One iteration took `seconds`.
  Rate step(const StepReport& report, double seconds) {
    // Smoothed over about twenty iterations, so that the rate and the time left can be read.
    seconds_per_step_ = seconds_per_step_ == 0 ? seconds : 0.95 * seconds_per_step_ + 0.05 * seconds;
    const double rate = static_cast<double>(tokens_per_step_) / seconds_per_step_;
    const bool plain_line = report.iteration % log_every_ == 0 || report.iteration == total_;
    if (gpu_ && (plain_line || Clock::now() - gpu_asked_ > std::chrono::seconds(1))) {
      gpu_use_ = gpu_->now(rate);
      gpu_asked_ = Clock::now();
    }
    const std::string gpu = gpu_use_ ? gpu_use_->text() : "";
    const std::string loss = format("loss %.4f", report.loss), speed = grouped(std::llround(rate)) + " tok/s";
    const std::string eta = "eta " + duration_text(seconds_per_step_ * static_cast<double>(total_ - report.iteration));
    if (bar_.shown()) {
      const double elapsed = std::chrono::duration<double>(Clock::now() - begun_).count();
      bar_.draw(report.iteration, total_,
                as_many_as_fit({loss, validation_, speed, eta, "elapsed " + duration_text(elapsed), gpu,
                                format("lr %.2e", report.learning_rate)}));
    } else if (plain_line) {
      say("step " + std::to_string(report.iteration) + "/" + std::to_string(total_) + " | " + loss +
          format(" | lr %.2e | norm %.3f | %.1f ms | ", report.learning_rate, report.grad_norm, 1000 * seconds) +
          speed + " | " + eta + (gpu.empty() ? "" : " | " + gpu));
    }
    return {rate, gpu_use_};
  }

  /// An evaluation has done so many of its batches.
  void evaluating(std::int64_t done, std::int64_t batches) {
    bar_.draw("evaluating " + grouped(done) + "/" + grouped(batches), done, batches, "");
  }

  void evaluation(std::int64_t step, const Losses& losses, const std::optional<double>& best) {
    std::string text =
        "step " + std::to_string(step) + format(": train loss %.4f, val loss %.4f", losses.train, losses.validation);
    for (const auto& [name, loss] : losses.others) text += ", " + name + format(" loss %.4f", loss);
    say(text);
    validation_ = format("val %.4f", losses.validation) + (best ? format(" best %.4f", *best) : "");
  }

  /// Something that has no measure, such as "saving".
  void doing(const std::string& what) { bar_.show(what); }

  /// A line of its own, above the bar.
  void say(const std::string& text) {
    bar_.clear();
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }

  void end() { bar_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;

  /// The first of these, the most important, for which there is room beside a short bar.
  static std::string as_many_as_fit(const std::vector<std::string>& parts) {
    constexpr std::size_t bar_and_step = 34;
    std::string text = parts.front();
    for (std::size_t i = 1; i < parts.size(); ++i) {
      if (parts[i].empty()) continue;
      if (i > 3 && text.size() + parts[i].size() + 2 + bar_and_step > terminal_width()) break;
      text += "  " + parts[i];
    }
    return text;
  }

  ProgressBar bar_;
  std::int64_t total_, log_every_, tokens_per_step_;
  std::unique_ptr<GpuWatch> gpu_;
  std::optional<GpuUse> gpu_use_;
  Clock::time_point gpu_asked_{}, begun_ = Clock::now();
  double seconds_per_step_ = 0;
  std::string validation_;  ///< what the last evaluation found
};

}  // namespace tinygpt::cli

// The next batch, gathered while the step runs.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

#include <tinygpt/data/token_stream.hpp>

namespace tinygpt {

/// Gives the batches of a stream, the same as the stream itself would. When a batch has been asked for, a thread draws
/// the one after it, so that the step need not wait for the disk. Any other batch is drawn when it is asked for.
///
/// The stream must outlive this object and not be changed meanwhile. What goes wrong on the thread is thrown by the
/// draw() that asks for that batch.
class Prefetcher {
 public:
  explicit Prefetcher(const TokenStream& source) : source_(source) {
    try {
      thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {  // the system has no thread to spare: batches are drawn when asked for
    }
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  ~Prefetcher() {
    {
      const std::scoped_lock lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int time, std::uint64_t seed,
            Purpose purpose, std::uint64_t number) const {
    const Batch wanted{tokens.size(), time, seed, purpose, number};
    if (!thread_.joinable() || !take(wanted, tokens, targets)) {
      source_.draw(tokens, targets, time, seed, purpose, number);
    }
    Batch next = wanted;
    ++next.number;
    {
      const std::scoped_lock lock(mutex_);
      to_do_ = next;
    }
    changed_.notify_all();
  }

 private:
  struct Batch {
    std::size_t size;
    int time;
    std::uint64_t seed;
    Purpose purpose;
    std::uint64_t number;
    bool operator==(const Batch&) const = default;
  };

  /// Waits for the batch where the thread has begun it or is about to; false where it has done another or none.
  bool take(const Batch& wanted, std::span<std::int32_t> tokens, std::span<std::int32_t> targets) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return to_do_ != wanted && in_work_ != wanted; });
    if (done_ != wanted) return false;
    done_.reset();
    if (fault_) std::rethrow_exception(std::exchange(fault_, nullptr));
    std::copy_n(tokens_.begin(), tokens.size(), tokens.begin());
    std::copy_n(targets_.begin(), targets.size(), targets.begin());
    return true;
  }

  /// The thread: it waits for nothing but the next batch to draw, or the end.
  void work() const {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stop_ || to_do_.has_value(); });
      if (stop_) return;
      const Batch batch = *to_do_;
      in_work_ = batch;
      to_do_.reset();
      done_.reset();
      fault_ = nullptr;
      lock.unlock();  // tokens_ and targets_ are this thread's until it says that it is done
      std::exception_ptr fault;
      try {
        tokens_.resize(batch.size);
        targets_.resize(batch.size);
        source_.draw(tokens_, targets_, batch.time, batch.seed, batch.purpose, batch.number);
      } catch (...) {
        fault = std::current_exception();
      }
      lock.lock();
      in_work_.reset();
      done_ = batch;
      fault_ = fault;
      changed_.notify_all();
    }
  }

  const TokenStream& source_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::optional<Batch> to_do_, in_work_, done_;
  mutable std::exception_ptr fault_;
  mutable std::vector<std::int32_t> tokens_, targets_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace tinygpt

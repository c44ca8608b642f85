// A pool of threads for short parallel loops: every operation of the cpu backend is one or a few of them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#if defined(__linux__)
#  include <pthread.h>
#  include <sched.h>
#endif

#include <tinygpt/processors.hpp>

namespace tinygpt::cpu {

/// Persistent threads that take the iterations of a loop one by one. The calling thread works too, as thread 0.
///
/// Between loops a worker spins for some tens of microseconds (the gap between two operations of a training step) and
/// then sleeps, so that an idle pool costs nothing. A loop allocates nothing, and does not wait for workers that are
/// still asleep: it is over when its iterations are.
///
/// Where a pool has a thread for each processor, workers stay on theirs: woken up, they would else often begin on that
/// of the thread which woke them. The calling thread is left alone.
///
/// One loop at a time: parallel_for must not be called from inside an iteration nor from two threads at once, and an
/// iteration must not throw.
class ThreadPool {
 public:
  /// `size` threads, or as many as the system gives (a limit of the user or of a container): a loop's results do not
  /// depend on their number. Throws std::bad_alloc.
  explicit ThreadPool(int size) {
    try {
      workers_.reserve(static_cast<std::size_t>(std::max(size, 1) - 1));
      for (int thread = 1; thread < size; ++thread) workers_.emplace_back([this, thread] { work(thread); });
    } catch (const std::system_error&) {
    } catch (...) {
      stop();
      throw;
    }
    if (allowed_processors().size() == static_cast<std::size_t>(this->size())) keep_in_place();
  }

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  ~ThreadPool() { stop(); }

  /// Number of threads that work on a loop, the calling one included.
  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls f(task, thread) for every task in [0, tasks), each once, on any thread in [0, size()).
  template <class F> void parallel_for(int tasks, F&& f) {
    if (tasks <= 1 || workers_.empty()) {
      for (int task = 0; task < tasks; ++task) f(task, 0);
      return;
    }
    using Body = std::remove_reference_t<F>;
    call_ = [](const void* body, int task, int thread) {
      (*static_cast<Body*>(const_cast<void*>(body)))(task, thread);
    };
    body_ = std::addressof(f);
    tasks_ = tasks;
    unfinished_.store(tasks, std::memory_order_relaxed);
    unclaimed_.store(tasks, std::memory_order_release);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    while (run_one(0)) {
    }
    for (int left, spins = 0; (left = unfinished_.load(std::memory_order_acquire)) != 0;) {
      if (++spins < spin_limit) {
        pause();
      } else {
        unfinished_.wait(left, std::memory_order_acquire);
      }
    }
  }

 private:
  static constexpr int spin_limit = 2000;

  /// Ends the workers. A thread that nobody joins would end the program.
  void stop() {
    stop_.store(true, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  /// Each worker on a processor other than the calling thread's present one.
  void keep_in_place() {
#if defined(__linux__)
    const int own = sched_getcpu();
    std::size_t worker = 0;
    for (const int processor : allowed_processors()) {
      if (processor == own || worker == workers_.size()) continue;
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(processor, &set);
      pthread_setaffinity_np(workers_[worker++].native_handle(), sizeof set, &set);  // it is no loss if this fails
    }
#endif
  }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  /// Claims a task and runs it; false when none is left. The loop's fields are read only after a claim: they cannot
  /// change before the claimed task is finished, so a worker that wakes up late does no harm.
  bool run_one(int thread) {
    int left = unclaimed_.load(std::memory_order_relaxed);
    do {
      if (left == 0) return false;
    } while (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acquire, std::memory_order_relaxed));
    call_(body_, tasks_ - left, thread);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1 && thread != 0) unfinished_.notify_one();
    return true;
  }

  void work(int thread) {
    while (true) {
      const std::uint32_t epoch = epoch_.load(std::memory_order_acquire);
      if (stop_.load(std::memory_order_relaxed)) return;
      int spins = 0;
      while (spins < spin_limit) {
        if (run_one(thread)) {
          spins = 0;
        } else {
          ++spins;
          pause();
        }
      }
      epoch_.wait(epoch, std::memory_order_acquire);
    }
  }

  void (*call_)(const void*, int, int) = nullptr;
  const void* body_ = nullptr;
  int tasks_ = 0;
  alignas(64) std::atomic<int> unclaimed_{0};
  alignas(64) std::atomic<int> unfinished_{0};
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace tinygpt::cpu

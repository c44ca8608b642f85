// What an operation of the cpu backend runs on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <tinygpt/cpu/threads.hpp>
#include <tinygpt/layout/arena.hpp>
#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::cpu {

/// Floats of scratch that each thread begins with: 1 MiB, of which a product touches what fits the L2.
inline constexpr std::int64_t default_scratch = 256 * 1024;

/// Threads, and a piece of memory of its own for each of them.
///
/// Scratch memory belongs to the iteration that runs on the thread: an operation finds in it what the last one left.
class Workers {
 public:
  /// 0 threads: as many as the machine has.
  explicit Workers(int threads = 0)
      : pool_(threads > 0 ? threads : hardware_threads()), scratch_(static_cast<std::size_t>(pool_.size())) {
    reserve_scratch(default_scratch);
  }

  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int threads() const { return pool_.size(); }

  /// Calls f(task, thread) for every task in [0, tasks); see ThreadPool.
  template <class F> void parallel_for(int tasks, F&& f) { pool_.parallel_for(tasks, std::forward<F>(f)); }

  /// The scratch of one thread: at least `scratch_size()` floats, aligned to a cache line.
  float* scratch(int thread) { return scratch_[static_cast<std::size_t>(thread)].get(); }
  std::int64_t scratch_size() const { return scratch_size_; }

  /// Makes each thread's scratch at least this many floats. Allocates only when it was smaller: matrix products and
  /// attention with the usual sizes never do. Not to be called inside a parallel loop.
  void reserve_scratch(std::int64_t floats) {
    if (floats <= scratch_size_) return;
    for (auto& piece : scratch_) {
      piece.reset();
      piece.reset(allocate(floats));
    }
    scratch_size_ = floats;
  }

  /// At least this many floats that belong to the operation that runs: what its parts hand to one another. Allocates
  /// only when it was smaller, so not after the first step of a training run. Not to be called inside a parallel loop.
  float* shared_scratch(std::int64_t floats) {
    if (floats > shared_size_) {
      shared_.reset();
      shared_.reset(allocate(floats));
      shared_size_ = floats;
    }
    return shared_.get();
  }

 private:
  static constexpr std::size_t alignment = 64;

  struct Free {
    void operator()(float* p) const { ::operator delete (p, std::align_val_t{alignment}); }
  };

  static float* allocate(std::int64_t floats) {
    const std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
    void* const p = ::operator new (bytes, std::align_val_t{alignment});
    use_huge_pages(p, bytes);
    return static_cast<float*>(p);
  }

  ThreadPool pool_;
  std::vector<std::unique_ptr<float, Free>> scratch_;
  std::int64_t scratch_size_ = 0;
  std::unique_ptr<float, Free> shared_;
  std::int64_t shared_size_ = 0;
};

/// What is kept of operations that are to be repeated: nothing, they are called again.
struct Recording {};

/// A number that was copied out: nothing is done later here.
template <class N> struct Later {
  N value{};
  N get() const { return value; }
};

/// What every operation takes as its first argument. E is what weights and activations are: float, or bfloat16, of which
/// sums are made in float all the same.
template <class E> class BasicContext : public Workers {
 public:
  using element = E;
  using accumulator = float;
  using Recording = cpu::Recording;
  template <class N> using Later = cpu::Later<N>;
  using Workers::Workers;
};

using Context = BasicContext<float>;

}  // namespace tinygpt::cpu

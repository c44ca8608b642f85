// Runs the blocks of a grid: a fibre for each thread, barriers and warp operations as places where they meet.
//
// A thread runs until it waits for others; the Order says which of those that could go on does. Every order is a possible
// one on a GPU, so a kernel whose result depends on it lacks a barrier: tests run it in several orders and compare bits.
// Shared memory is full of NaN when a block begins. Threads that wait for what cannot come are a Failure that says who
// waits where. Everything here belongs to one system thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <emulator/fibre.hpp>
#include <emulator/types.hpp>

namespace emulator {

/// A kernel did what a kernel must not do. `what()` is one sentence that names the kernel, the block and the threads.
class Failure : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Which of the threads that could go on is next, and in which order the blocks of a grid run.
struct Order {
  enum Kind { ascending, descending, shuffled };
  Kind kind = ascending;
  std::uint64_t seed = 0;  ///< of shuffled

  /// TINYGPT_EMULATOR_ORDER: ascending, descending, or the seed of a shuffled order.
  static Order of_environment() {
    const char* text = std::getenv("TINYGPT_EMULATOR_ORDER");
    if (text == nullptr || std::string_view(text) == "ascending") return {};
    if (std::string_view(text) == "descending") return {descending};
    char* end = nullptr;
    const std::uint64_t seed = std::strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
      throw std::invalid_argument("TINYGPT_EMULATOR_ORDER is '" + std::string(text) +
                                  "': write ascending, descending or a number to shuffle by");
    }
    return {shuffled, seed};
  }
};

/// The order of the launches to come.
inline Order& order() {
  thread_local Order value = Order::of_environment();
  return value;
}

/// While it lives, kernels run in another order.
class WithOrder {
 public:
  explicit WithOrder(Order wanted) : before_(std::exchange(order(), wanted)) {}
  WithOrder(const WithOrder&) = delete;
  WithOrder& operator=(const WithOrder&) = delete;
  ~WithOrder() { order() = before_; }

 private:
  Order before_;
};

/// What a thread waits at: an operation, its place in the source, and the lanes that take part (of a warp operation).
struct Meeting {
  const char* operation = "";
  std::source_location place = std::source_location::current();
  unsigned mask = 0;

  bool operator==(const Meeting& other) const {
    return mask == other.mask && place.line() == other.place.line() && place.column() == other.place.column() &&
           same(operation, other.operation) && same(place.file_name(), other.place.file_name());
  }

  std::string text() const {
    char lanes[32] = "";
    if (mask != 0) std::snprintf(lanes, sizeof lanes, " of lanes 0x%08x", mask);
    return operation + std::string(lanes) + " (" + place.file_name() + ":" + std::to_string(place.line()) + ")";
  }

 private:
  static bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
};

/// What a warp operation does once all its lanes have met: one operand per lane, null for those outside the mask.
using Resolve = void (*)(void* (&operands)[32]);

class Machine;

/// One thread of the block that runs.
struct Thread {
  enum State : std::uint8_t { ready, at_barrier, at_warp_operation, returned };

  /// 16 bytes that cp.async has begun to copy.
  struct Copy {
    std::byte* to;
    const std::byte* from;  ///< null: zeros
    std::int64_t group;
  };

  Thread(Machine& owner, std::size_t i) : machine(&owner), number(i), fibre(&Thread::run, this, i) {}

  static void run(void* self);

  Machine* machine;
  std::size_t number;  ///< within the block
  uint3 index{};
  State state = returned;
  Meeting meeting;
  void* operand = nullptr;
  int vote = 0;
  std::vector<Copy> copies;
  std::int64_t groups = 0;  ///< of copies, closed so far
  Fibre fibre;
};

/// Runs grids, one block after the other.
class Machine {
 public:
  static Machine& here() {
    thread_local Machine machine;
    return machine;
  }

  /// Calls body() once for every thread of the grid. Throws what the first thread to fail threw.
  void run(std::string kernel, dim3 blocks, dim3 threads, std::size_t shared_bytes, const std::function<void()>& body) {
    if (current_ != nullptr) fail("starts another kernel: kernels are started by the host");
    kernel_ = std::move(kernel);
    body_ = &body;
    ::gridDim = blocks;
    ::blockDim = threads;
    count_ = std::size_t{threads.x} * threads.y * threads.z;
    while (threads_.size() < count_) threads_.push_back(std::make_unique<Thread>(*this, threads_.size()));
    for (std::size_t i = 0; i < count_; ++i) {
      const auto n = static_cast<unsigned>(i);
      threads_[i]->index = {n % threads.x, n / threads.x % threads.y, n / threads.x / threads.y};
    }
    shared_bytes_ = shared_bytes;
    const SharedMemory shared(shared_bytes);
    shared_ = shared.bytes;

    const std::uint64_t grid = std::uint64_t{blocks.x} * blocks.y * blocks.z;
    std::mt19937_64 random(order().seed);
    const std::vector<std::uint64_t> block_order = permutation(grid, random);
    for (const std::uint64_t block : block_order) {
      ::blockIdx = {static_cast<unsigned>(block % blocks.x), static_cast<unsigned>(block / blocks.x % blocks.y),
                    static_cast<unsigned>(block / blocks.x / blocks.y)};
      run_block(random);
    }
  }

  /// The thread that runs; there is one only inside a kernel.
  Thread& current() const {
    if (current_ == nullptr) throw Failure("device code was called outside a kernel: start it by launch<kernel>(...)");
    return *current_;
  }

  std::byte* shared() const { return shared_; }
  std::size_t shared_bytes() const { return shared_bytes_; }
  bool in_shared(const void* p, std::size_t bytes) const {
    const auto at = reinterpret_cast<std::uintptr_t>(p), begin = reinterpret_cast<std::uintptr_t>(shared_);
    return at >= begin && at + bytes <= begin + shared_bytes_;
  }

  /// Waits for all threads of the block; the number of threads whose vote is not 0.
  int barrier(const Meeting& meeting, int vote = 0) {
    Thread& self = current();
    self.vote = vote;
    self.meeting = meeting;
    self.state = Thread::at_barrier;
    if (++at_barrier_ == count_) release_barrier();
    wait(self);
    return votes_;
  }

  /// Waits for all lanes of meeting.mask; the last one to come resolves the operation for all.
  void meet(const Meeting& meeting, void* operand, Resolve resolve) {
    Thread& self = current();
    const std::size_t first = self.number / 32 * 32;
    const std::size_t lanes = std::min<std::size_t>(32, count_ - first);
    self.meeting = meeting;
    if ((meeting.mask >> (self.number - first) & 1u) == 0) {
      fail("reaches " + meeting.text() + ", whose mask does not name the thread itself");
    }
    if (lanes < 32 && meeting.mask >> lanes != 0) {
      fail("reaches " + meeting.text() + ", but its warp has only " + std::to_string(lanes) +
           " threads: launch whole warps");
    }
    self.operand = operand;
    self.state = Thread::at_warp_operation;
    bool all = true;
    for (std::size_t lane = 0; lane < lanes && all; ++lane) {
      if ((meeting.mask >> lane & 1u) == 0) continue;
      const Thread& other = *threads_[first + lane];
      all = other.state == Thread::at_warp_operation && other.meeting == meeting;
    }
    if (all) {
      void* operands[32] = {};
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        if ((meeting.mask >> lane & 1u) != 0) operands[lane] = threads_[first + lane]->operand;
      }
      if (resolve != nullptr) resolve(operands);
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        if ((meeting.mask >> lane & 1u) != 0) make_ready(*threads_[first + lane]);
      }
    }
    wait(self);
  }

  /// Throws a Failure that begins with who the running thread is: "kernel k, block (0, 0, 0), thread 5 <deed>".
  [[noreturn]] void fail(const std::string& deed) const {
    throw Failure(block_text() + ", thread " + std::to_string(current().number) + " " + deed);
  }

 private:
  friend struct Thread;

  /// Thrown through the threads of a block that failed, so that their stacks are unwound.
  struct Cancelled {};

  /// Exactly as many bytes as were asked for, so that AddressSanitizer finds the first one beyond. Other builds put
  /// bytes there that must not change.
  struct SharedMemory {
    static constexpr std::size_t fence = TINYGPT_EMULATOR_ASAN ? 0 : 64;
    static constexpr std::align_val_t alignment{128};

    explicit SharedMemory(std::size_t n) : bytes(static_cast<std::byte*>(::operator new(n + fence, alignment))) {}
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory() { ::operator delete(bytes, alignment); }

    std::byte* bytes;
  };

  std::vector<std::uint64_t> permutation(std::uint64_t n, std::mt19937_64& random) const {
    std::vector<std::uint64_t> p(n);
    for (std::uint64_t i = 0; i < n; ++i) p[i] = order().kind == Order::descending ? n - 1 - i : i;
    if (order().kind == Order::shuffled) std::shuffle(p.begin(), p.end(), random);
    return p;
  }

  void run_block(std::mt19937_64& random) {
    std::memset(shared_, 0xFF, shared_bytes_ + SharedMemory::fence);
    by_rank_ = permutation(count_, random);
    rank_.resize(count_);
    for (std::size_t r = 0; r < count_; ++r) rank_[by_rank_[r]] = r;
    ready_.assign((count_ + 63) / 64, 0);
    at_barrier_ = 0;
    failure_ = nullptr;
    for (std::size_t i = 0; i < count_; ++i) {
      threads_[i]->copies.clear();
      threads_[i]->groups = 0;
      make_ready(*threads_[i]);
    }
    while (Thread* thread = next()) {
      resume(*thread);
      if (failure_) break;
    }
    const bool stuck = !failure_ && std::any_of(threads_.begin(), threads_.begin() + static_cast<std::ptrdiff_t>(count_),
                                                [](const auto& t) { return t->state != Thread::returned; });
    if (stuck) failure_ = std::make_exception_ptr(Failure(block_text() + ": " + waiting_text()));
    if (failure_) {
      cancelling_ = true;
      for (std::size_t i = 0; i < count_; ++i) {
        if (threads_[i]->state != Thread::returned) resume(*threads_[i]);
      }
      cancelling_ = false;
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    for (std::size_t i = 0; i < SharedMemory::fence; ++i) {
      if (shared_[shared_bytes_ + i] != std::byte{0xFF}) {
        throw Failure(block_text() + ": byte " + std::to_string(shared_bytes_ + i) + " was written of " +
                      std::to_string(shared_bytes_) + " bytes of shared memory");
      }
    }
  }

  void make_ready(Thread& thread) {
    thread.state = Thread::ready;
    const std::size_t r = rank_[thread.number];
    ready_[r / 64] |= std::uint64_t{1} << r % 64;
  }

  /// Takes the first ready thread in the order; null where none is.
  Thread* next() {
    for (std::size_t word = 0; word < ready_.size(); ++word) {
      if (ready_[word] == 0) continue;
      const int bit = std::countr_zero(ready_[word]);
      ready_[word] &= ready_[word] - 1;
      return threads_[by_rank_[word * 64 + static_cast<std::size_t>(bit)]].get();
    }
    return nullptr;
  }

  void resume(Thread& thread) {
    current_ = &thread;
    ::threadIdx = thread.index;
    thread.fibre.resume();
    current_ = nullptr;
  }

  void wait(Thread& self) {
    self.fibre.suspend();
    if (cancelling_) throw Cancelled{};
  }

  void release_barrier() {
    votes_ = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (!(threads_[i]->meeting == threads_[0]->meeting)) throw Failure(block_text() + ": " + waiting_text());
      votes_ += threads_[i]->vote != 0;
    }
    at_barrier_ = 0;
    for (std::size_t i = 0; i < count_; ++i) make_ready(*threads_[i]);
  }

  std::string block_text() const {
    return "kernel " + kernel_ + ", block (" + std::to_string(::blockIdx.x) + ", " + std::to_string(::blockIdx.y) + ", " +
           std::to_string(::blockIdx.z) + ")";
  }

  /// "threads 0-31 wait at __syncthreads (a.cuh:7), threads 32-63 have returned: ..."
  std::string waiting_text() const {
    std::vector<std::pair<std::string, std::vector<std::size_t>>> groups;
    bool barrier = false;
    for (std::size_t i = 0; i < count_; ++i) {
      const Thread& t = *threads_[i];
      barrier = barrier || t.state == Thread::at_barrier;
      const std::string doing = t.state == Thread::returned ? "have returned" : "wait at " + t.meeting.text();
      auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == doing; });
      if (group == groups.end()) group = groups.insert(group, {doing, {}});
      group->second.push_back(i);
    }
    std::string text;
    for (const auto& [doing, numbers] : groups) {
      text += (text.empty() ? "threads " : ", threads ") + ranges(numbers) + " " + doing;
    }
    return text + (barrier ? ": all threads of a block must reach the same __syncthreads()"
                           : ": all lanes of a mask must reach the same operation");
  }

  static std::string ranges(const std::vector<std::size_t>& numbers) {
    std::string text;
    for (std::size_t i = 0; i < numbers.size();) {
      std::size_t end = i + 1;
      while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
      text += (text.empty() ? "" : " ") + std::to_string(numbers[i]);
      if (end - i > 1) text += "-" + std::to_string(numbers[end - 1]);
      i = end;
    }
    return text;
  }

  std::string kernel_;
  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::size_t count_ = 0;                ///< threads of a block
  std::vector<std::uint64_t> by_rank_;   ///< thread numbers, in the order in which they are preferred
  std::vector<std::size_t> rank_;        ///< of each thread
  std::vector<std::uint64_t> ready_;     ///< a bit per rank
  std::size_t at_barrier_ = 0;
  int votes_ = 0;
  Thread* current_ = nullptr;
  std::byte* shared_ = nullptr;
  std::size_t shared_bytes_ = 0;
  std::exception_ptr failure_;
  bool cancelling_ = false;
};

inline void Thread::run(void* self) {
  Thread& thread = *static_cast<Thread*>(self);
  Machine& machine = *thread.machine;
  try {
    if (!machine.cancelling_) (*machine.body_)();
    if (!thread.copies.empty() && !machine.cancelling_) machine.fail("returns before it has waited for its asynchronous copies");
  } catch (const Machine::Cancelled&) {
    // The block has failed already; this thread was only unwound.
  } catch (...) {
    if (!machine.failure_) machine.failure_ = std::current_exception();
  }
  thread.state = returned;
}

}  // namespace emulator

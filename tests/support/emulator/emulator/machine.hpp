// Runs grids: a fibre for each thread of a block, barriers and warp operations as places where they meet.
//
// A thread runs until it waits for others; the Order says which of those that could go on does. Shared memory is full
// of NaN when a block begins. Threads that wait for what cannot come are a Failure that says who waits where. Blocks
// run one after the other, and everything here belongs to one system thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <emulator/fibre.hpp>
#include <emulator/order.hpp>
#include <emulator/types.hpp>

namespace emulator {

/// A kernel did what a kernel must not do. `what()` is one sentence that names the kernel, the block and the threads.
class Failure : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// What a thread waits at: an operation, its place in the source, and the lanes that take part (0 for a block's
/// barrier).
struct Meeting {
  const char* operation = "";
  std::source_location place;
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

/// What the lanes of a warp bring to an operation; null for those outside its mask.
using Operands = void* (&)[32];

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

class Machine {
 public:
  /// The one of this system thread.
  static Machine& here() {
    if constexpr (thread_sanitizer) {
      thread_local Machine& kept = *new Machine;  // it has no word for fibres that are forgotten
      return kept;
    } else {
      thread_local Machine machine;
      return machine;
    }
  }

  /// Calls body() once for every thread of the grid. Throws what the first thread to fail threw.
  void run(std::string kernel, dim3 blocks, dim3 threads, std::size_t shared_bytes, const std::function<void()>& body) {
    const Unwatched here;
    kernel_ = std::move(kernel);
    body_ = &body;
    shared_bytes_ = shared_bytes;
    count_ = std::size_t{threads.x} * threads.y * threads.z;
    ::gridDim = blocks;
    ::blockDim = threads;
    const GridEnd end(*this);
    happens_before(&grid_place_);
    std::mt19937_64 random(order().seed);
    for (const std::uint64_t b : order().permutation(std::uint64_t{blocks.x} * blocks.y * blocks.z, random)) {
      ::blockIdx = {static_cast<unsigned>(b % blocks.x), static_cast<unsigned>(b / blocks.x % blocks.y),
                    static_cast<unsigned>(b / blocks.x / blocks.y)};
      prepare_block(random);
      run_block();
    }
  }

  /// Only the host starts kernels.
  void expect_host() const {
    if (current_ != nullptr) fail("starts another kernel: only the host can");
  }

  /// The thread that runs; there is one only inside a kernel.
  Thread& current() const {
    if (current_ == nullptr) throw Failure("device code was called outside a kernel: start it by launch<kernel>(...)");
    return *current_;
  }

  std::byte* shared() const { return shared_->bytes; }
  std::size_t shared_bytes() const { return shared_bytes_; }
  bool overlaps_shared(const void* p, std::size_t bytes) const {
    return number_of(p) < number_of(shared()) + shared_bytes_ && number_of(p) + bytes > number_of(shared());
  }
  bool within_shared(const void* p, std::size_t bytes) const {
    return number_of(p) >= number_of(shared()) && number_of(p) + bytes <= number_of(shared()) + shared_bytes_;
  }

  /// Waits for all threads of the block; returns the number of them whose vote is not 0.
  int barrier(const Meeting& meeting, int vote = 0) {
    const Unwatched here;
    Thread& self = current();
    // The next barrier's place is another, since a thread may be there already when this one goes on.
    char* const place = &barrier_places_[barriers_ % 2];
    happens_before(place);
    self.vote = vote;
    self.meeting = meeting;
    self.state = Thread::at_barrier;
    if (++at_barrier_ == count_) release_barrier();
    wait(self);
    happens_after(place);
    return votes_;
  }

  /// Waits for all lanes of meeting.mask. The last one to come calls resolve, which does the operation for all of them.
  void meet(const Meeting& meeting, void* operand, void (*resolve)(Operands)) {
    const Unwatched here;
    Thread& self = current();
    const std::size_t first = self.number / 32 * 32;
    const std::size_t lanes = std::min<std::size_t>(32, count_ - first);
    const unsigned own = 1u << (self.number - first);
    if ((meeting.mask & own) == 0) {
      fail("reaches " + meeting.text() + ", whose mask does not name the thread itself");
    }
    if (lanes < 32 && meeting.mask >> lanes != 0) {
      fail("reaches " + meeting.text() + ", but its warp has only " + std::to_string(lanes) +
           " threads: launch whole warps");
    }
    self.meeting = meeting;
    self.operand = operand;
    self.state = Thread::at_warp_operation;
    unsigned& waiting = waiting_[first / 32];
    waiting |= own;
    if ((waiting & meeting.mask) == meeting.mask && all_meet(first, meeting)) {
      void* operands[32] = {};
      for (unsigned rest = meeting.mask; rest != 0; rest &= rest - 1) {
        Thread& lane = *threads_[first + static_cast<std::size_t>(std::countr_zero(rest))];
        operands[lane.number - first] = lane.operand;
        make_ready(lane);
      }
      waiting &= ~meeting.mask;
      if (resolve != nullptr) resolve(operands);
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

  /// As many bytes as a launch asked for, so that AddressSanitizer finds an access to the first one beyond. Without it,
  /// bytes that must not change follow.
  struct SharedMemory {
    static constexpr std::size_t fence = address_sanitizer ? 0 : 128;
    static constexpr std::align_val_t alignment{128};

    explicit SharedMemory(std::size_t n)
        : size(n), bytes(static_cast<std::byte*>(::operator new(n + fence, alignment))) {}
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory() { ::operator delete(bytes, alignment); }

    std::size_t size;
    std::byte* bytes;
  };

  /// The host sees what the threads of a grid did only once all of it is done.
  struct GridEnd {
    explicit GridEnd(Machine& owner) : machine(owner) {}
    GridEnd(const GridEnd&) = delete;
    GridEnd& operator=(const GridEnd&) = delete;
    ~GridEnd() {
      happens_after(&machine);
      machine.past_shared_.clear();
    }
    Machine& machine;
  };

  static std::uintptr_t number_of(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

  void prepare_block(std::mt19937_64& random) {
    if constexpr (thread_sanitizer) {
      // Blocks do not know of each other: one block's threads are not those of the block before, nor is its memory.
      std::swap(threads_, other_threads_);
      if (shared_ != nullptr) past_shared_.push_back(std::move(shared_));
    }
    while (threads_.size() < count_) threads_.push_back(std::make_unique<Thread>(*this, threads_.size()));
    if (shared_ == nullptr || shared_->size != shared_bytes_) shared_ = std::make_unique<SharedMemory>(shared_bytes_);
    std::memset(shared_->bytes, 0xFF, shared_->size + SharedMemory::fence);

    by_rank_ = order().permutation(count_, random);
    rank_.resize(count_);
    for (std::size_t r = 0; r < count_; ++r) rank_[by_rank_[r]] = r;
    ready_.assign((count_ + 63) / 64, 0);
    waiting_.assign((count_ + 31) / 32, 0);
    at_barrier_ = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      Thread& thread = *threads_[i];
      const auto n = static_cast<unsigned>(i);
      thread.index = {n % ::blockDim.x, n / ::blockDim.x % ::blockDim.y, n / ::blockDim.x / ::blockDim.y};
      thread.copies.clear();
      thread.groups = 0;
      make_ready(thread);
    }
  }

  void run_block() {
    const int races_before = races;
    failure_ = nullptr;
    while (Thread* thread = next()) {
      resume(*thread);
      if (races != races_before && failure_ == nullptr) {
        failure_ = std::make_exception_ptr(Failure(
            block_text() + ": threads touch the same memory with no barrier between: ThreadSanitizer says where"));
      }
      if (failure_ != nullptr) break;
    }
    std::vector<Thread*> left;
    for (std::size_t i = 0; i < count_; ++i) {
      if (threads_[i]->state != Thread::returned) left.push_back(threads_[i].get());
    }
    if (failure_ == nullptr && !left.empty()) {
      failure_ = std::make_exception_ptr(Failure(block_text() + ": " + waiting_text()));
    }
    if (failure_ != nullptr) {
      cancelling_ = true;
      for (Thread* thread : left) resume(*thread);
      cancelling_ = false;
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    for (std::size_t i = shared_->size; i < shared_->size + SharedMemory::fence; ++i) {
      if (shared_->bytes[i] != std::byte{0xFF}) {
        throw Failure(block_text() + " wrote to byte " + std::to_string(i) + " of " + std::to_string(shared_->size) +
                      " bytes of shared memory");
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
      const auto bit = static_cast<std::size_t>(std::countr_zero(ready_[word]));
      ready_[word] &= ready_[word] - 1;
      return threads_[by_rank_[word * 64 + bit]].get();
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
    ++barriers_;
    for (std::size_t i = 0; i < count_; ++i) make_ready(*threads_[i]);
  }

  bool all_meet(std::size_t first, const Meeting& meeting) const {
    for (unsigned rest = meeting.mask; rest != 0; rest &= rest - 1) {
      if (!(threads_[first + static_cast<std::size_t>(std::countr_zero(rest))]->meeting == meeting)) return false;
    }
    return true;
  }

  std::string block_text() const {
    return "kernel " + kernel_ + ", block (" + std::to_string(::blockIdx.x) + ", " + std::to_string(::blockIdx.y) +
           ", " + std::to_string(::blockIdx.z) + ")";
  }

  /// "threads 0-31 wait at __syncthreads (a.cuh:7), threads 32-63 have returned: all threads ..."
  std::string waiting_text() const {
    std::vector<std::pair<std::string, std::string>> groups;  // what they do, who
    bool barrier = false;
    for (std::size_t i = 0; i < count_;) {
      const auto doing = [&](std::size_t t) {
        return threads_[t]->state == Thread::returned ? "have returned" : "wait at " + threads_[t]->meeting.text();
      };
      const std::string what = doing(i);
      std::size_t end = i;
      while (end < count_ && doing(end) == what) barrier |= threads_[end++]->state == Thread::at_barrier;
      auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == what; });
      if (group == groups.end()) group = groups.insert(group, {what, "threads"});
      group->second += " " + std::to_string(i) + (end - i > 1 ? "-" + std::to_string(end - 1) : "");
      i = end;
    }
    std::string text;
    for (const auto& [what, who] : groups) text += (text.empty() ? "" : ", ") + who + " " + what;
    return text + (barrier ? ": all threads of a block must reach the same __syncthreads()"
                           : ": all lanes of a mask must reach the same operation");
  }

  std::string kernel_;
  const std::function<void()>* body_ = nullptr;
  /// The other ones are only for ThreadSanitizer.
  std::vector<std::unique_ptr<Thread>> threads_, other_threads_;
  std::size_t count_ = 0;               ///< threads of a block
  std::vector<std::uint64_t> by_rank_;  ///< thread numbers, those to prefer first
  std::vector<std::size_t> rank_;       ///< of each thread
  std::vector<std::uint64_t> ready_;    ///< a bit per rank
  std::vector<unsigned> waiting_;       ///< per warp, the lanes at a warp operation
  std::size_t at_barrier_ = 0;
  std::uint64_t barriers_ = 0;
  char barrier_places_[2] = {}, grid_place_ = 0;
  int votes_ = 0;
  Thread* current_ = nullptr;
  std::size_t shared_bytes_ = 0;
  std::unique_ptr<SharedMemory> shared_;
  std::vector<std::unique_ptr<SharedMemory>> past_shared_;  ///< of blocks before; only for ThreadSanitizer
  std::exception_ptr failure_;
  bool cancelling_ = false;
};

inline void Thread::run(void* self) {
  Thread& thread = *static_cast<Thread*>(self);
  Machine& machine = *thread.machine;
  happens_after(&machine.grid_place_);
  try {
    if (!machine.cancelling_) {
      const Watched kernel;
      (*machine.body_)();
    }
    if (!machine.cancelling_ && !thread.copies.empty()) {
      machine.fail("returns before it has waited for its asynchronous copies");
    }
  } catch (const Machine::Cancelled&) {
    // The block has failed already; this thread was only unwound.
  } catch (...) {
    if (machine.failure_ == nullptr) machine.failure_ = std::current_exception();
  }
  happens_before(&machine);
  thread.state = returned;
}

}  // namespace emulator

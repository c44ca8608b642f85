// A fibre: a function that can stop in the middle, on a stack of its own, and go on later on the same system thread.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/fiber.hpp>
#include <boost/context/preallocated.hpp>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#  define TINYGPT_EMULATOR_ASAN 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define TINYGPT_EMULATOR_ASAN 1
#  endif
#endif
#if !defined(TINYGPT_EMULATOR_ASAN)
#  define TINYGPT_EMULATOR_ASAN 0
#endif
#if TINYGPT_EMULATOR_ASAN
#  include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

/// Tells AddressSanitizer which stack the code runs on from now on; without it every switch would be a false alarm.
class StackSwitch {
 public:
  void leave_for([[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t size) {
#if TINYGPT_EMULATOR_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, bottom, size);
#endif
  }
  void leave_for_good([[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t size) {
#if TINYGPT_EMULATOR_ASAN
    __sanitizer_start_switch_fiber(nullptr, bottom, size);
#endif
  }
  void arrive([[maybe_unused]] const void** from_bottom, [[maybe_unused]] std::size_t* from_size) {
#if TINYGPT_EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(fake_stack_, from_bottom, from_size);
#endif
  }

 private:
  [[maybe_unused]] void* fake_stack_ = nullptr;
};

/// A stack with a page below it that nobody may touch, so that an overflow is a fault and not a wrong number.
struct Stack {
  static constexpr std::size_t size = TINYGPT_EMULATOR_ASAN ? 512 * 1024 : 128 * 1024;

  static std::size_t guard() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

  boost::context::stack_context allocate() {
    void* memory =
        ::mmap(nullptr, guard() + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    ::mprotect(memory, guard(), PROT_NONE);
    boost::context::stack_context stack;
    stack.size = size;
    stack.sp = static_cast<std::byte*>(memory) + guard() + size;
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) noexcept {
    ::munmap(static_cast<std::byte*>(stack.sp) - size - guard(), guard() + size);
  }
};

/// Calls body(argument) each time it is started by resume(). The body may suspend(); resume() then continues it.
class Fibre {
 public:
  /// Stacks begin at multiples of a page, where they would all fight for the same lines of the cache: fibres of
  /// different `colour` begin at different lines.
  Fibre(void (*body)(void*), void* argument, std::size_t colour) : body_(body), argument_(argument) {
    const auto stack = Stack{}.allocate();
    const std::size_t used = stack.size - colour % 64 * 64;
    bottom_ = static_cast<std::byte*>(stack.sp) - stack.size;
    size_ = stack.size;
    own_ = boost::context::fiber(
        std::allocator_arg, boost::context::preallocated(const_cast<std::byte*>(bottom_) + used, used, stack), Stack{},
        [this](boost::context::fiber&& caller) { return live(std::move(caller)); });
  }
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  /// Not while the body is suspended: there would be nobody to end it.
  ~Fibre() {
    ending_ = true;
    resume();
  }

  void resume() {
    StackSwitch here;
    here.leave_for(bottom_, size_);
    own_ = std::move(own_).resume();
    here.arrive(nullptr, nullptr);
  }

  /// Goes back to whoever resumed the fibre; called by its body.
  void suspend() {
    StackSwitch here;
    here.leave_for(caller_bottom_, caller_size_);
    caller_ = std::move(caller_).resume();
    here.arrive(&caller_bottom_, &caller_size_);
  }

 private:
  boost::context::fiber live(boost::context::fiber&& caller) {
    caller_ = std::move(caller);
    StackSwitch().arrive(&caller_bottom_, &caller_size_);
    while (!ending_) {
      body_(argument_);
      suspend();
    }
    StackSwitch().leave_for_good(caller_bottom_, caller_size_);
    return std::move(caller_);
  }

  void (*body_)(void*);
  void* argument_;
  boost::context::fiber own_, caller_;
  const std::byte* bottom_ = nullptr;
  std::size_t size_ = 0;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_size_ = 0;
  bool ending_ = false;
};

}  // namespace emulator

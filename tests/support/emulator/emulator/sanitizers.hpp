// What AddressSanitizer and ThreadSanitizer must be told about fibres. Without a sanitizer all of this is nothing.
//
// AddressSanitizer must know the stack that code runs on; without it every switch would be a false alarm.
// ThreadSanitizer takes each fibre for a thread, ordered with others by the barriers of CUDA only: so it finds two
// threads of a grid that touch the same memory without a barrier between them, in whichever order they happened to run.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#  include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#  include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace emulator {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif

/// What the sanitizers know of a fibre, and of the code that resumes it.
class WatchedStack {
 public:
  WatchedStack() = default;
  WatchedStack(const WatchedStack&) = delete;
  WatchedStack& operator=(const WatchedStack&) = delete;

#if defined(__SANITIZE_THREAD__)
  ~WatchedStack() {
    if (created_) __tsan_destroy_fiber(fibre_);
  }
#endif

  /// This one is a fibre of its own, not the stack of a system thread.
  void create([[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t size) {
#if defined(__SANITIZE_ADDRESS__)
    bottom_ = bottom;
    size_ = size;
#elif defined(__SANITIZE_THREAD__)
    fibre_ = __tsan_create_fiber(0);
    created_ = true;
#endif
  }

  /// To be called on the stack of `this`, immediately before the switch to `other`; and `arrive` immediately after one.
  /// Not instrumented: ThreadSanitizer would see it enter on one stack and leave on the other.
  __attribute__((no_sanitize("thread"))) void leave_for([[maybe_unused]] WatchedStack& other) {
#if defined(__SANITIZE_ADDRESS__)
    other.comes_from_ = this;
    __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.size_);
#elif defined(__SANITIZE_THREAD__)
    if (!created_) fibre_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(other.fibre_, __tsan_switch_to_fiber_no_sync);
#endif
  }
  void arrive() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack_, &comes_from_->bottom_, &comes_from_->size_);
#endif
  }

 private:
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  void* fake_stack_ = nullptr;
  WatchedStack* comes_from_ = nullptr;
#elif defined(__SANITIZE_THREAD__)
  void* fibre_ = nullptr;
  bool created_ = false;
#endif
};

/// What a thread did before happens_before(place) is seen by those that come from happens_after(place) later.
inline void happens_before([[maybe_unused]] void* place) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(place);
#endif
}
inline void happens_after([[maybe_unused]] void* place) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(place);
#endif
}

/// While it lives, accesses of this fibre (or system thread) are the emulator's own and not looked at for races.
class Unwatched {
 public:
  Unwatched() { begin(); }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
  ~Unwatched() { end(); }

  static void begin() {
#if defined(__SANITIZE_THREAD__)
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
  }
  static void end() {
#if defined(__SANITIZE_THREAD__)
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }
};

/// The accesses of a kernel, within the emulator's own.
class Watched {
 public:
  Watched() { Unwatched::end(); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched() { Unwatched::begin(); }
};

/// Races that ThreadSanitizer has reported so far.
inline int races = 0;

/// Memory that the code which runs now may not touch, for AddressSanitizer.
inline void forbid([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(p, bytes);
#endif
}
inline void allow([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(p, bytes);
#endif
}

}  // namespace emulator

#if defined(__SANITIZE_THREAD__)
extern "C" {
/// ThreadSanitizer calls this for each report.
__attribute__((weak, no_sanitize("thread"))) void __tsan_on_report(void*) { ++emulator::races; }

/// The first race of a block ends its launch by an exception, so the program goes on, and must be told of the next one.
__attribute__((weak, no_sanitize("thread"))) const char* __tsan_default_options() {
  return "suppress_equal_addresses=0:suppress_equal_stacks=0:exitcode=0";
}
}
#endif

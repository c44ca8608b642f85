// A fibre: a function that can stop in the middle, on a stack of its own, and go on later on the same system thread.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <new>

#include <emulator/sanitizers.hpp>

namespace emulator {

/// Memory for a stack, with a page below it that nobody may touch: an overflow is a fault and not a wrong number.
class StackMemory {
 public:
  static constexpr std::size_t size = address_sanitizer || thread_sanitizer ? 512 * 1024 : 128 * 1024;

  StackMemory()
      : memory_(::mmap(nullptr, guard() + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                       0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    ::mprotect(memory_, guard(), PROT_NONE);
  }
  StackMemory(const StackMemory&) = delete;
  StackMemory& operator=(const StackMemory&) = delete;
  ~StackMemory() {
    allow(bottom(), size);
    ::munmap(memory_, guard() + size);
  }

  std::byte* bottom() const { return static_cast<std::byte*>(memory_) + guard(); }

 private:
  static std::size_t guard() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

  void* memory_;
};

/// Calls body(argument) each time it is started by resume(). The body may suspend(); resume() then continues it.
///
/// Made of Boost.Context's bare switch and not of its fiber class, because nothing may stand between the switch and
/// what the sanitizers are told about it. A fibre is never unwound: it ends between two bodies, by being forgotten.
class Fibre {
 public:
  /// Stacks begin at multiples of a page, where they would all fight for the same lines of the cache: fibres of
  /// different `colour` begin at different lines.
  Fibre(void (*body)(void*), void* argument, std::size_t colour) : body_(body), argument_(argument) {
    const std::size_t used = StackMemory::size - colour % 64 * 64;
    watched_.create(stack_.bottom(), StackMemory::size);
    own_ = boost::context::detail::make_fcontext(stack_.bottom() + used, used, &Fibre::live);
  }
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  void resume() {
    caller_watched_.leave_for(watched_);
    own_ = boost::context::detail::jump_fcontext(own_, this).fctx;
    caller_watched_.arrive();
  }

  /// Goes back to whoever resumed the fibre; called by its body.
  void suspend() {
    watched_.leave_for(caller_watched_);
    caller_ = boost::context::detail::jump_fcontext(caller_, nullptr).fctx;
    watched_.arrive();
  }

 private:
  static void live(boost::context::detail::transfer_t from) {
    Fibre& self = *static_cast<Fibre*>(from.data);
    self.watched_.arrive();
    Unwatched::begin();
    self.caller_ = from.fctx;
    for (;;) {
      self.body_(self.argument_);
      self.suspend();
    }
  }

  StackMemory stack_;
  void (*body_)(void*);
  void* argument_;
  boost::context::detail::fcontext_t own_ = nullptr, caller_ = nullptr;
  WatchedStack watched_, caller_watched_;
};

}  // namespace emulator

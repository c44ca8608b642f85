// The memory of the emulated device: the host's, full of NaN when it is allocated, each piece by itself.
#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <new>

#include <emulator/sanitizers.hpp>

namespace emulator {

/// What was allocated, by address.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    let(allow);
    for (const auto& [p, bytes] : pieces_) ::operator delete(p, alignment);
  }

  /// Of the device. AddressSanitizer finds the host when it touches it.
  static Memory& device() {
    static Memory memory;
    return memory;
  }
  /// Of the host, that the device may touch as well.
  static Memory& host() {
    static Memory memory;
    return memory;
  }

  /// Null where there is no more.
  void* allocate(std::size_t bytes) {
    void* p = ::operator new(bytes, alignment, std::nothrow);
    if (p == nullptr) return nullptr;
    std::memset(p, 0xFF, bytes);
    pieces_.emplace(p, bytes);
    used_ += bytes;
    if (this == &device()) forbid(p, bytes);
    return p;
  }

  /// False where there is no such piece.
  bool release(void* p) {
    const auto found = pieces_.find(p);
    if (found == pieces_.end()) return false;
    allow(p, found->second);
    used_ -= found->second;
    pieces_.erase(found);
    ::operator delete(p, alignment);
    return true;
  }

  std::size_t used() const { return used_; }

  bool holds(const void* p) const {
    auto after = pieces_.upper_bound(const_cast<void*>(p));
    if (after == pieces_.begin()) return false;
    const auto& [begin, bytes] = *--after;
    return static_cast<const std::byte*>(p) < static_cast<const std::byte*>(begin) + bytes;
  }

  /// While it lives, what runs is the device's work.
  class DeviceWork {
   public:
    DeviceWork() {
      if (depth()++ == 0) device().let(allow);
    }
    DeviceWork(const DeviceWork&) = delete;
    DeviceWork& operator=(const DeviceWork&) = delete;
    ~DeviceWork() {
      if (--depth() == 0) device().let(forbid);
    }

   private:
    static int& depth() {
      static int works = 0;
      return works;
    }
  };

 private:
  static constexpr std::align_val_t alignment{256};

  void let(void (*change)(const void*, std::size_t)) const {
    if constexpr (address_sanitizer) {
      for (const auto& [p, bytes] : pieces_) change(p, bytes);
    }
  }

  std::map<void*, std::size_t> pieces_;
  std::size_t used_ = 0;
};

}  // namespace emulator

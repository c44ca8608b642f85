// The operators new and delete of this program, which count.
#include <counted_memory.hpp>

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> live_bytes{0}, peak_bytes{0};
thread_local std::int64_t until_failure = -1;  // allocations that succeed before one fails; below 0: none fails
thread_local bool has_failed = false;

/// Is this the allocation that is to fail?
bool fails() {
  if (until_failure < 0 || until_failure-- > 0) return false;
  return has_failed = true;
}

void* counted(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  const auto size = static_cast<std::int64_t>(::malloc_usable_size(p));
  const std::int64_t now = live_bytes.fetch_add(size, std::memory_order_relaxed) + size;
  std::int64_t peak = peak_bytes.load(std::memory_order_relaxed);
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  return p;
}

void uncounted(void* p) {
  if (p == nullptr) return;
  live_bytes.fetch_sub(static_cast<std::int64_t>(::malloc_usable_size(p)), std::memory_order_relaxed);
  std::free(p);
}

void* aligned(std::size_t size, std::align_val_t alignment) {
  const auto line = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(line, (size + line - 1) / line * line);
}

}  // namespace

std::int64_t CountedMemory::live() { return live_bytes.load(); }
std::int64_t CountedMemory::peak() { return peak_bytes.load(); }
void CountedMemory::reset_peak() { peak_bytes.store(live_bytes.load()); }
void CountedMemory::fail_after(std::int64_t n) { until_failure = n, has_failed = false; }
bool CountedMemory::never_fail() {
  until_failure = -1;
  return has_failed;
}

// All of them, as a sanitizer's own operators do not call these.
void* operator new(std::size_t size) { return counted(fails() ? nullptr : std::malloc(size == 0 ? 1 : size)); }
void* operator new[](std::size_t size) { return ::operator new(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return ::operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t size, const std::nothrow_t& nothrow) noexcept { return ::operator new(size, nothrow); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(fails() ? nullptr : aligned(size == 0 ? 1 : size, alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) { return ::operator new(size, alignment); }
void operator delete(void* p) noexcept { uncounted(p); }
void operator delete[](void* p) noexcept { uncounted(p); }
void operator delete(void* p, std::size_t) noexcept { uncounted(p); }
void operator delete[](void* p, std::size_t) noexcept { uncounted(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { uncounted(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { uncounted(p); }
void operator delete(void* p, std::align_val_t) noexcept { uncounted(p); }
void operator delete[](void* p, std::align_val_t) noexcept { uncounted(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { uncounted(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { uncounted(p); }

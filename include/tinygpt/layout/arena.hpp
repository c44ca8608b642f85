// Memory: one aligned allocation.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#if defined(__linux__)
#  include <sys/mman.h>
#endif

#include <tinygpt/layout/memory.hpp>

namespace tinygpt {

/// Asks for pages of 2 MiB under the whole ones of [p, p + bytes), which costs no memory more. A walk over hundreds of
/// megabytes spends a part of its time on looking up pages, of which these need fewer.
inline void use_huge_pages([[maybe_unused]] void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  constexpr std::uintptr_t page = std::uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<std::uintptr_t>(p), first = (begin + page - 1) / page * page,
             end = (begin + bytes) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);  // else small ones will do
#endif
}

/// Zeroed host memory for n elements, aligned to a cache line. Throws std::bad_alloc.
template <class E> class Arena {
 public:
  explicit Arena(std::int64_t n) : size_(n), data_(allocate(n)) {}

  E* data() { return data_.get(); }
  const E* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }
  std::span<E> span() { return {data_.get(), static_cast<std::size_t>(size_)}; }
  std::span<const E> span() const { return {data_.get(), static_cast<std::size_t>(size_)}; }

 private:
  struct Free {
    void operator()(E* p) const { std::free(p); }
  };

  static E* allocate(std::int64_t n) {
    constexpr std::size_t line = 64;
    const std::size_t bytes = (static_cast<std::size_t>(n) * sizeof(E) + line) / line * line;
    void* p = std::aligned_alloc(line, bytes);
    if (p == nullptr) throw std::bad_alloc();
    use_huge_pages(p, bytes);
    std::memset(p, 0, bytes);
    return static_cast<E*>(p);
  }

  std::int64_t size_;
  std::unique_ptr<E, Free> data_;
};

}  // namespace tinygpt

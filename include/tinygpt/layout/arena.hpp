// Memory: one aligned allocation.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include <tinygpt/layout/memory.hpp>

namespace tinygpt {

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
    std::memset(p, 0, bytes);
    return static_cast<E*>(p);
  }

  std::int64_t size_;
  std::unique_ptr<E, Free> data_;
};

}  // namespace tinygpt

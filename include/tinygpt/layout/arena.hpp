// Memory: one aligned allocation, and the bytes that a model needs to train or to generate.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include <tinygpt/layout/activations.hpp>

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

constexpr std::int64_t operator""_KiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 10; }
constexpr std::int64_t operator""_MiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 20; }
constexpr std::int64_t operator""_GiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 30; }

/// Bytes of the keys and values of one sequence of full context length, in float32.
constexpr std::int64_t kv_cache_bytes(const Config& c) {
  return 2LL * c.layers * c.ctx * c.kv_width() * static_cast<std::int64_t>(sizeof(float));
}

/// Bytes to train on batches of B x T tokens in float32: weights, gradients, AdamW's two moments, activations.
constexpr std::int64_t train_bytes(const Config& c, Batch<> batch, Time<> time) {
  return static_cast<std::int64_t>(sizeof(float)) *
         (4 * ParamTable(c).arena_size() + ActivationPlan(c, batch.size, time.size).size());
}

/// Bytes to generate from one prompt in float32: weights, the KV cache, the activations of a full context.
constexpr std::int64_t generate_bytes(const Config& c) {
  return static_cast<std::int64_t>(sizeof(float)) *
             (ParamTable(c).arena_size() + ActivationPlan(c, 1, c.ctx, ActivationPlan::For::inference).size()) +
         kv_cache_bytes(c);
}

template <Architecture M> constexpr std::int64_t train_bytes(Batch<> batch, Time<> time = {M::config.ctx}) {
  return train_bytes(M::config, batch, time);
}
template <Architecture M> constexpr std::int64_t generate_bytes() { return generate_bytes(M::config); }

}  // namespace tinygpt

// Fingerprints of files and documents: 128 bits, so that equal ones mean equal contents.
#pragma once

#ifndef XXH_INLINE_ALL
#  define XXH_INLINE_ALL
#endif
// Plain code is fast enough here, and is no other one where the processor is.
#ifndef XXH_VECTOR
#  define XXH_VECTOR 0
#endif
#include <xxhash.h>

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

namespace tinygpt::prepare {

/// XXH3, 128 bits. Not for adversaries. Source: xxHash 0.8, its specification.
struct Fingerprint {
  std::uint64_t high = 0, low = 0;

  // Written out, as nvcc forgets to define the == that a <=> brings.
  friend constexpr bool operator==(const Fingerprint& a, const Fingerprint& b) {
    return a.high == b.high && a.low == b.low;
  }
  friend constexpr bool operator<(const Fingerprint& a, const Fingerprint& b) {
    return a.high != b.high ? a.high < b.high : a.low < b.low;
  }

  /// Thirty-two hexadecimal digits, as the program xxh128sum prints them.
  std::string text() const {
    std::string digits(32, '0');
    for (std::size_t i = 0; i < 32; ++i) {
      digits[i] = "0123456789abcdef"[(i < 16 ? high : low) >> 4 * (15 - i % 16) & 15];
    }
    return digits;
  }
};

inline Fingerprint fingerprint_of(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

/// Of bytes that come in pieces.
class FingerprintStream {
 public:
  FingerprintStream() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
  }
  void update(std::span<const char> bytes) { XXH3_128bits_update(state_.get(), bytes.data(), bytes.size()); }
  Fingerprint value() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.high64, hash.low64};
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

}  // namespace tinygpt::prepare

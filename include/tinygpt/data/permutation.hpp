// A shuffle that needs no memory: where an element goes is a function of its number.
#pragma once

#include <bit>
#include <cstdint>

#include <tinygpt/ops/random.hpp>

namespace tinygpt {

/// A permutation of 0 .. n-1, one for each seed, purpose and epoch.
///
/// A Feistel network over as few bits as hold n - 1: each round changes one half of the bits by a random function of
/// the other, so it can be undone, so no two elements meet. What lands outside of 0 .. n-1 goes through it again until
/// it is inside (cycle walking), less than twice on average. Source: Black and Rogaway 2002, "Ciphers with arbitrary
/// finite domains", sections 3 and 5.
class Permutation {
 public:
  /// n: 1 to 2^63.
  constexpr Permutation(std::uint64_t n, std::uint64_t seed, Purpose purpose, std::uint64_t epoch)
      : n_(n), seed_(seed), epoch_(epoch), purpose_(purpose) {
    const int bits = static_cast<int>(std::bit_width(n - 1));
    low_bits_ = (bits + 1) / 2;
    high_bits_ = bits / 2;
    // With 8 rounds the halves of 3 bits are not mixed: pairs of places of 5 to 7 elements are uneven.
    rounds_ = bits < 6 ? 16 : 8;
  }

  constexpr std::uint64_t operator()(std::uint64_t i) const {
    do {
      i = once(i);
    } while (i >= n_);
    return i;
  }

 private:
  constexpr std::uint64_t once(std::uint64_t i) const {
    const std::uint64_t low_mask = (std::uint64_t{1} << low_bits_) - 1,
                        high_mask = (std::uint64_t{1} << high_bits_) - 1;
    std::uint64_t low = i & low_mask, high = i >> low_bits_;
    for (std::uint64_t round = 1; round <= rounds_; round += 2) {
      low ^= noise(round, high) & low_mask;
      high ^= noise(round + 1, low) & high_mask;
    }
    return high << low_bits_ | low;
  }

  /// A half has at most 32 bits. The first two counters of a purpose are the epoch's, and the rounds are told apart in
  /// the upper half of the others, of which 0 is for other uses.
  constexpr std::uint64_t noise(std::uint64_t round, std::uint64_t half) const {
    return random_bits(seed_, purpose_, epoch_, round << 32 | half)[0];
  }

  std::uint64_t n_, seed_, epoch_;
  Purpose purpose_;
  int low_bits_ = 0, high_bits_ = 0;
  std::uint64_t rounds_ = 0;
};

}  // namespace tinygpt

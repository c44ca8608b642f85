// Counter-based random numbers: a number is a function of where it is used, so nothing depends on the order of work.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include <tinygpt/macros.hpp>

namespace tinygpt {

/// Philox4x32 with 7 rounds: 128 random bits that are a function of a 128-bit counter and a 64-bit key.
/// Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", sections 3.4 and 4
/// (7 rounds are the fewest that pass BigCrush).
TINYGPT_HD constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                             std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 7; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

/// What random numbers are drawn for; each purpose has numbers of its own under one seed. (Dropout has its own
/// numbering of the same generator: ops/dropout.hpp.)
enum class Purpose : std::uint32_t { initial_weights = 1, training_batch = 2, validation_batch = 3, sampling = 4 };

/// Two 64-bit random numbers at place (i, j) of a purpose.
constexpr std::array<std::uint64_t, 2> random_bits(std::uint64_t seed, Purpose purpose, std::uint64_t i,
                                                   std::uint64_t j) {
  const auto bits =
      philox4x32({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), static_cast<std::uint32_t>(j),
                  static_cast<std::uint32_t>(j >> 32)},
                 {static_cast<std::uint32_t>(seed),
                  static_cast<std::uint32_t>(seed >> 32) ^ static_cast<std::uint32_t>(purpose) * 0x9E3779B9u});
  return {bits[0] | std::uint64_t{bits[1]} << 32, bits[2] | std::uint64_t{bits[3]} << 32};
}

/// A uniform number in (0, 1), never either end.
constexpr double uniform(std::uint64_t bits) { return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52; }

/// Two independent standard normal numbers. Source: Box and Muller 1958.
inline std::array<double, 2> normal_pair(const std::array<std::uint64_t, 2>& bits) {
  const double radius = std::sqrt(-2 * std::log(uniform(bits[0]))), angle = 2 * std::numbers::pi * uniform(bits[1]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace tinygpt

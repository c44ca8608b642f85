// In how many bytes numbers lie in memory, and which results the backward pass computes again instead of keeping.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>

namespace tinygpt {

/// Element type of weights and activations. Statistics, sums, gradients of parameters and AdamW's moments are float in
/// either; bf16 training keeps float master weights beside (Micikevicius et al. 2018, arXiv:1710.03740).
enum class Precision { float32, bf16 };
inline constexpr Precision float32 = Precision::float32;
inline constexpr Precision bf16 = Precision::bf16;

/// What the forward pass leaves to be computed again by the backward pass; each keeps less than the one before it and
/// gives the same gradient, bit for bit.
///   none         everything is kept
///   activations  outputs of norms and of the nonlinearity are not kept: cheap to repeat, 2C + F numbers a token and layer
///   blocks       only the residual stream before each layer is kept, and the layer repeated: a third more FLOPs
/// Sources: Chen et al. 2016 (arXiv:1604.06174) for blocks; Korthikanti et al. 2022 (arXiv:2205.05198) for the choice.
enum class Recompute { none, activations, blocks };

/// Bytes of one number.
struct Storage {
  int element = 4;      ///< weights and activations
  int accumulator = 4;  ///< statistics, losses, gradients of parameters, moments, master weights

  friend constexpr bool operator==(const Storage&, const Storage&) = default;
};

constexpr Storage storage_of(Precision precision) {
  switch (precision) {
    case Precision::float32:
      return {4, 4};
    case Precision::bf16:
      return {2, 4};
  }
  throw std::invalid_argument("tinygpt: storage_of has no sizes for this Precision: add its case");
}

/// Every buffer begins at a multiple of so many bytes: two cache lines, one transaction of a GPU.
inline constexpr std::int64_t buffer_alignment = 256;

/// More bytes than any machine has: what sums and products of sizes are where 64 bits do not hold them, so that a plan too
/// large to be counted fits nowhere instead of wrapping around.
inline constexpr std::int64_t uncountable = std::numeric_limits<std::int64_t>::max() / buffer_alignment * buffer_alignment;

/// a x b, and a + b, of sizes: numbers of 0 or more.
constexpr std::int64_t size_product(std::int64_t a, std::int64_t b) {
  return a != 0 && b > uncountable / a ? uncountable : a * b;
}
template <class... Sizes> constexpr std::int64_t size_product(std::int64_t a, std::int64_t b, Sizes... others) {
  return size_product(size_product(a, b), static_cast<std::int64_t>(others)...);
}
constexpr std::int64_t size_sum(std::int64_t a, std::int64_t b) { return a > uncountable - b ? uncountable : a + b; }
template <class... Sizes> constexpr std::int64_t size_sum(std::int64_t a, std::int64_t b, Sizes... others) {
  return size_sum(size_sum(a, b), static_cast<std::int64_t>(others)...);
}

constexpr std::int64_t aligned(std::int64_t bytes) {
  return bytes > uncountable - buffer_alignment ? uncountable
                                                : (bytes + buffer_alignment - 1) / buffer_alignment * buffer_alignment;
}

}  // namespace tinygpt

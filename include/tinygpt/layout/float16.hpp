// IEEE half precision, for keeping numbers in files.
#pragma once

#include <cstdint>

#include <tinygpt/macros.hpp>

namespace tinygpt {

/// Sign, 5 bits of exponent and 10 of fraction. Not for computing: arithmetic is done in float.
///
/// From float: to the nearest, ties to even; too large becomes infinite; a NaN stays one. To float: exact.
/// Source: IEEE 754-2019, binary16.
struct float16 {
  std::uint16_t bits;

  float16() = default;

  // Every case is computed and one is chosen, without branches, so that a loop of these is a loop of vectors.
  constexpr explicit float16(float value) : bits(0) {
    constexpr std::uint32_t infinite = 0x7F80'0000u, too_large = 0x4780'0000u, least_normal = 0x3880'0000u;
    const auto whole = __builtin_bit_cast(std::uint32_t, value);
    const std::uint32_t sign = whole >> 16 & 0x8000u, size = whole & 0x7FFF'FFFFu;
    const std::uint32_t rounded = (size + 0xFFFu + (size >> 13 & 1u) - 0x3800'0000u) >> 13;  // may carry to infinity
    // Subnormal: adding 0.5 makes the float's own rounding round at 2^-24.
    const float shifted = __builtin_bit_cast(float, size < least_normal ? size : 0u) + 0.5f;
    const std::uint32_t small = __builtin_bit_cast(std::uint32_t, shifted) - 0x3F00'0000u;
    const std::uint32_t finite = size < least_normal ? small : rounded;
    const std::uint32_t number = size < too_large ? finite : 0x7C00u;
    bits = static_cast<std::uint16_t>(sign | (size > infinite ? 0x7E00u : number));
  }

  constexpr explicit operator float() const {
    constexpr std::uint32_t infinite = 0x7C00u << 13, least_normal = 0x400u << 13;
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16, size = (bits & 0x7FFFu) * 0x2000u;
    // Subnormal: a fraction of 2^-14 beside a leading one, which is taken off again.
    const float fraction = __builtin_bit_cast(float, size + 0x3880'0000u) - 0x1p-14f;
    const std::uint32_t finite =
        size < least_normal ? __builtin_bit_cast(std::uint32_t, fraction) : size + 0x3800'0000u;
    return __builtin_bit_cast(float, sign | (size < infinite ? finite : size + 0x7000'0000u));
  }

  static constexpr float16 from_bits(std::uint16_t bits) {
    float16 value{0.0f};
    value.bits = bits;
    return value;
  }
};

}  // namespace tinygpt

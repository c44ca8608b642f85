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

  constexpr explicit float16(float value) : bits(0) {
    const auto whole = __builtin_bit_cast(std::uint32_t, value);
    const std::uint32_t sign = whole >> 16 & 0x8000u, size = whole & 0x7FFF'FFFFu;
    if (size > 0x7F80'0000u) {
      bits = static_cast<std::uint16_t>(sign | 0x7E00u);
    } else if (size >= 0x4780'0000u) {  // 65536 and more
      bits = static_cast<std::uint16_t>(sign | 0x7C00u);
    } else if (size >= 0x3880'0000u) {  // normal numbers: from 2^-14; rounding may carry to infinity
      const std::uint32_t rounded = size + 0xFFFu + (size >> 13 & 1u);
      bits = static_cast<std::uint16_t>(sign | (rounded - 0x3800'0000u) >> 13);
    } else {
      // Subnormal: adding 0.5 makes the float's own rounding round at 2^-24.
      const float shifted = __builtin_bit_cast(float, size) + 0.5f;
      bits = static_cast<std::uint16_t>(sign | (__builtin_bit_cast(std::uint32_t, shifted) - 0x3F00'0000u));
    }
  }

  constexpr explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16, size = bits & 0x7FFFu;
    if (size >= 0x7C00u) return __builtin_bit_cast(float, sign | 0x7F80'0000u | (size & 0x3FFu) << 13);
    if (size >= 0x400u) return __builtin_bit_cast(float, sign | ((size << 13) + 0x3800'0000u));
    const float value = static_cast<float>(size) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }

  static constexpr float16 from_bits(std::uint16_t bits) {
    float16 value{0.0f};
    value.bits = bits;
    return value;
  }
};

}  // namespace tinygpt

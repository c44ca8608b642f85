// Element types that C++20 does not have: bfloat16, the upper half of a float.
#pragma once

#include <cstdint>

#include <tinygpt/macros.hpp>

namespace tinygpt {

/// Sign, 8 bits of exponent and 7 of fraction: a float without its lower 16 bits. It is for keeping numbers, not for
/// computing: arithmetic is done in float.
///
/// From float: to the nearest, ties to even; too large becomes infinite; every NaN becomes 0x7FFF. So the bits are
/// those of the GPU's own conversion (PTX ISA, cvt.rn.bf16.f32), subnormal numbers included. To float: exact.
struct bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;

  TINYGPT_HD constexpr explicit bfloat16(float value) : bits(0) {
    const auto whole = __builtin_bit_cast(std::uint32_t, value);
    const bool nan = (whole & 0x7FFF'FFFFu) > 0x7F80'0000u;
    // Adding just under one half of the last place carries where the rest is more than half, or half and the place odd.
    const std::uint32_t rounded = (whole + 0x7FFFu + (whole >> 16 & 1u)) >> 16;
    bits = nan ? std::uint16_t{0x7FFF} : static_cast<std::uint16_t>(rounded);
  }

  TINYGPT_HD constexpr explicit operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }

  TINYGPT_HD static constexpr bfloat16 from_bits(std::uint16_t bits) {
    bfloat16 value{0.0f};
    value.bits = bits;
    return value;
  }
};

}  // namespace tinygpt

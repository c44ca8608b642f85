// bfloat16: exact to float, to the nearest from float, NaN and infinity.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <tinygpt/layout/dtype.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

static_assert(sizeof(bfloat16) == 2 && std::is_trivial_v<bfloat16>);
static_assert(!std::is_convertible_v<float, bfloat16> && !std::is_convertible_v<bfloat16, float>);
static_assert(bfloat16(1.0f).bits == 0x3F80 && bfloat16(-2.0f).bits == 0xC000);
static_assert(static_cast<float>(bfloat16::from_bits(0x4049)) == 3.140625f);

// Ties go to the even last place: 1 + 2^-8 is half way from 1 to 1 + 2^-7, and 1 + 3 * 2^-8 from there to 1 + 2^-6.
static_assert(bfloat16(1 + 0x1p-8f).bits == 0x3F80 && bfloat16(1 + 3 * 0x1p-8f).bits == 0x3F82);
static_assert(bfloat16(1 + 0x1p-8f + 0x1p-23f).bits == 0x3F81 && bfloat16(1 + 0x1p-8f - 0x1p-23f).bits == 0x3F80);

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST_CASE("every bfloat16 survives the way to float and back") {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto value = bfloat16::from_bits(static_cast<std::uint16_t>(bits));
    const float whole = static_cast<float>(value);
    if (std::isnan(whole)) {
      CHECK(bfloat16(whole).bits == 0x7FFF);
    } else {
      CHECK(bfloat16(whole).bits == bits);
      CHECK(std::bit_cast<std::uint32_t>(whole) == bits << 16);
    }
  }
}

TEST_CASE("a float becomes the nearest bfloat16, and of two the even one") {
  // Around every positive finite bfloat16: just below, at, and just above the middle to the next one.
  for (std::uint32_t bits = 0; bits < 0x7F80; ++bits) {
    const std::uint32_t middle = bits << 16 | 0x8000u;
    const auto rounded = [](std::uint32_t whole) { return bfloat16(std::bit_cast<float>(whole)).bits; };
    CHECK(rounded(middle - 1) == bits);
    CHECK(rounded(middle) == bits + bits % 2);
    CHECK(rounded(middle + 1) == bits + 1);
    CHECK(rounded(middle | 0x8000'0000u) == ((bits + bits % 2) | 0x8000u));
  }
}

TEST_CASE("what is too large becomes infinite, and NaN stays NaN") {
  const float largest = static_cast<float>(bfloat16::from_bits(0x7F7F));
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7F80);
  CHECK(bfloat16(-std::numeric_limits<float>::max()).bits == 0xFF80);
  CHECK(bfloat16(std::nextafter(largest, infinity)).bits == 0x7F7F);
  CHECK(static_cast<float>(bfloat16(infinity)) == infinity);
  CHECK(static_cast<float>(bfloat16(-infinity)) == -infinity);
  for (const std::uint32_t nan : {0x7F80'0001u, 0x7FC0'0000u, 0x7FFF'FFFFu, 0xFF80'0001u, 0xFFFF'FFFFu}) {
    CHECK(bfloat16(std::bit_cast<float>(nan)).bits == 0x7FFF);
  }
  CHECK(bfloat16(-0.0f).bits == 0x8000);
  CHECK(bfloat16(std::numeric_limits<float>::denorm_min()).bits == 0);
}

}  // namespace

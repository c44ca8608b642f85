// Dropout masks, a vector of Philox blocks at a time. Bit for bit what Dropout::keeps says, element by element.
#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include <tinygpt/cpu/vec.hpp>
#include <tinygpt/ops/dropout.hpp>

namespace tinygpt::cpu {

static_assert(std::endian::native == std::endian::little, "numbers of a group are stored as words and read as halves");

/// Elements of a mask that are computed at once: their numbers fill 2 vectors.
inline constexpr int dropout_span = 4 * vector_width;

namespace detail {

inline constexpr int philox_lanes = vector_width / 2;
typedef std::uint64_t Longs __attribute__((vector_size(philox_lanes * sizeof(std::uint64_t))));

/// The numbers of philox_lanes groups from `group` on, in the order of the elements. Each lane is philox4x32 on one
/// counter; words are kept in 64-bit lanes, because that is where a 32 x 32 bit product is.
TINYGPT_CPU_INLINE void dropout_numbers(const Dropout& dropout, std::int64_t group, std::uint16_t* numbers) {
  constexpr std::uint64_t low = 0xFFFFFFFFu;
  const Longs lane = []<int... Index>(std::integer_sequence<int, Index...>) __attribute__((always_inline)) {
    return Longs{static_cast<std::uint64_t>(Index)...};
  }
  (std::make_integer_sequence<int, philox_lanes>{});
  const Longs g = lane + static_cast<std::uint64_t>(group);
  Longs c0 = g & low;
  Longs c1 = ((g >> 32) + dropout.site * std::uint64_t{4096}) & low;
  const std::uint64_t step = dropout.step();
  Longs c2 = (lane & 0) + (step & low);
  Longs c3 = (lane & 0) + (step >> 32);
  std::uint32_t key0 = static_cast<std::uint32_t>(dropout.seed);
  std::uint32_t key1 = static_cast<std::uint32_t>(dropout.seed >> 32);
  for (int round = 0; round < 7; ++round) {
    const Longs product0 = c0 * std::uint64_t{0xD2511F53u};
    const Longs product1 = c2 * std::uint64_t{0xCD9E8D57u};
    c0 = (product1 >> 32) ^ c1 ^ std::uint64_t{key0};
    c1 = product1 & low;
    c2 = (product0 >> 32) ^ c3 ^ std::uint64_t{key1};
    c3 = product0 & low;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  const Longs first = c0 | (c1 << 32), second = c2 | (c3 << 32);  // elements 0-3 and 4-7 of each group
  const auto interleave = [&]<int... Index>(std::integer_sequence<int, Index...>) __attribute__((always_inline)) {
    const Longs lower = __builtin_shufflevector(first, second, (Index / 2 + (Index % 2) * philox_lanes)...);
    const Longs upper =
        __builtin_shufflevector(first, second, ((Index + philox_lanes) / 2 + (Index % 2) * philox_lanes)...);
    __builtin_memcpy(numbers, &lower, sizeof lower);
    __builtin_memcpy(numbers + 2 * vector_width, &upper, sizeof upper);
  };
  interleave(std::make_integer_sequence<int, philox_lanes>{});
}

}  // namespace detail

/// What vector_width elements of a mask multiply: scale where kept, 0 where dropped.
TINYGPT_CPU_INLINE Floats dropout_factors(const Dropout& dropout, const std::uint16_t* numbers) {
  Halves halves;
  __builtin_memcpy(&halves, numbers, sizeof halves);
  const Ints wide = __builtin_convertvector(halves, Ints);
  return select(wide >= static_cast<std::int32_t>(dropout.threshold), broadcast(dropout.scale()), Floats{});
}

/// factors[c] = scale where element (row, column + c) of a mask of rows `width` wide is kept, else 0; c < dropout_span.
/// `column` is a multiple of 8. Elements past the end of the row are those of the next one.
TINYGPT_CPU_INLINE void dropout_factors(const Dropout& dropout, std::int64_t row, std::int64_t column,
                                        std::int64_t width, Floats (&factors)[4]) {
  alignas(64) std::uint16_t numbers[dropout_span];
  detail::dropout_numbers(dropout, row * Dropout::groups(width) + column / 8, numbers);
  unroll<4>([&](auto v)
                __attribute__((always_inline)) { factors[v] = dropout_factors(dropout, numbers + v * vector_width); });
}

}  // namespace tinygpt::cpu

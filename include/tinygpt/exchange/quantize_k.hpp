// Q4_K: 256 numbers of a row in 144 bytes, each as d s q - e m with q of 4 bits, and s and m of 6 bits for 32 of them.
// Source: ggml, docs/gguf.md and gguf-py's quants.py (the bytes). How scales are searched is this project's own.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tinygpt/layout/float16.hpp>

namespace tinygpt::gguf {

namespace q4_k {

inline constexpr int numbers = 256, parts = 8, part = 32;

/// x is about scale q - offset with q from 0 to 15; neither is negative.
struct Fit {
  float scale = 0, offset = 0;
};

/// The nearest of 0 to 15, in a form that compilers put into vectors.
inline float nearest(float steps) {
  return static_cast<float>(static_cast<int>(std::min(std::max(steps, 0.0f), 15.0f) + 0.5f));
}

/// Squared error of x with the nearest q for each number.
inline float error_of(const float* x, float scale, float offset) {
  const float inverse = scale > 0 ? 1 / scale : 0;
  float sum = 0;
  for (int i = 0; i < part; ++i) {
    const float q = nearest((x[i] + offset) * inverse);
    const float error = scale * q - offset - x[i];
    sum += error * error;
  }
  return sum;
}

/// The best of 21 roundings: the range of x, and zero, is divided into 14 to 16 steps, numbers are rounded to steps,
/// and scale and offset are then those of least squares for these q.
inline Fit fit(const float* x) {
  float low = 0, high = x[0];
  for (int i = 0; i < part; ++i) low = std::min(low, x[i]), high = std::max(high, x[i]);
  if (high <= low) return {0, -low};  // all of them are the same
  Fit best{(high - low) / 15, -low};
  float least = error_of(x, best.scale, best.offset);
  for (int step = -10; step <= 10; ++step) {
    const float inverse = (15 + 0.1f * static_cast<float>(step)) / (high - low);
    if (!std::isfinite(inverse)) break;
    float q_sum = 0, qq_sum = 0, x_sum = 0, qx_sum = 0;
    for (int i = 0; i < part; ++i) {
      const float q = nearest((x[i] - low) * inverse);
      q_sum += q, qq_sum += q * q, x_sum += x[i], qx_sum += q * x[i];
    }
    const float determinant = part * qq_sum - q_sum * q_sum;
    if (!(determinant > 0)) continue;
    Fit now{(part * qx_sum - q_sum * x_sum) / determinant, (q_sum * qx_sum - qq_sum * x_sum) / determinant};
    if (now.offset < 0) now = {qx_sum / qq_sum, 0};
    if (!(now.scale > 0)) continue;
    if (const float error = error_of(x, now.scale, now.offset); error < least) least = error, best = now;
  }
  return best;
}

/// The 6-bit numbers of the eight parts in 12 bytes: of the first four the low six bits of bytes 0 to 7; of the last
/// four the low bits are in bytes 8 to 11, and the two high ones in the high bits of the first eight.
inline void pack(const std::array<int, parts>& scales, const std::array<int, parts>& offsets, std::byte* to) {
  for (std::size_t j = 0; j < 4; ++j) {
    to[j] = static_cast<std::byte>(scales[j] | (scales[j + 4] >> 4) << 6);
    to[j + 4] = static_cast<std::byte>(offsets[j] | (offsets[j + 4] >> 4) << 6);
    to[j + 8] = static_cast<std::byte>((scales[j + 4] & 15) | (offsets[j + 4] & 15) << 4);
  }
}
inline void unpack(const std::byte* from, std::array<int, parts>& scales, std::array<int, parts>& offsets) {
  for (std::size_t j = 0; j < 4; ++j) {
    const auto a = std::to_integer<int>(from[j]), b = std::to_integer<int>(from[j + 4]),
               c = std::to_integer<int>(from[j + 8]);
    scales[j] = a & 63, offsets[j] = b & 63;
    scales[j + 4] = (c & 15) | (a >> 6) << 4, offsets[j + 4] = c >> 4 | (b >> 6) << 4;
  }
}

}  // namespace q4_k

/// Each part is fitted by itself; d and e are the largest scale and offset / 63, in half precision; and each part takes
/// of the nine pairs of 6-bit numbers around its own the one of the least squared error.
inline void quantize_q4_k(const float* x, std::byte* to) {
  using namespace q4_k;
  std::array<Fit, parts> fits;
  float largest_scale = 0, largest_offset = 0;
  for (std::size_t p = 0; p < parts; ++p) {
    fits[p] = fit(x + p * part);
    largest_scale = std::max(largest_scale, fits[p].scale);
    largest_offset = std::max(largest_offset, fits[p].offset);
  }
  const float16 d16(largest_scale / 63), e16(largest_offset / 63);
  const auto d = static_cast<float>(d16), e = static_cast<float>(e16);
  std::memcpy(to, &d16.bits, 2);
  std::memcpy(to + 2, &e16.bits, 2);
  std::array<int, parts> scales{}, offsets{};
  std::uint8_t q[numbers];
  for (std::size_t p = 0; p < parts; ++p) {
    const auto around = [](float value, float unit) {
      return unit > 0 ? static_cast<int>(std::min(value / unit, 63.0f) + 0.5f) : 0;
    };
    const int scale = around(fits[p].scale, d), offset = around(fits[p].offset, e);
    float least = INFINITY;
    for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, 63); ++s) {
      for (int m = std::max(offset - 1, 0); m <= std::min(offset + 1, 63); ++m) {
        const float error = error_of(x + p * part, d * static_cast<float>(s), e * static_cast<float>(m));
        if (error < least) least = error, scales[p] = s, offsets[p] = m;
      }
    }
    const float a = d * static_cast<float>(scales[p]), b = e * static_cast<float>(offsets[p]);
    for (std::size_t i = p * part; i < (p + 1) * part; ++i) {
      q[i] = static_cast<std::uint8_t>(nearest(a > 0 ? (x[i] + b) / a : 0));
    }
  }
  pack(scales, offsets, to + 4);
  for (std::size_t pair = 0; pair < 4; ++pair) {
    for (std::size_t i = 0; i < 32; ++i) {
      to[16 + pair * 32 + i] = static_cast<std::byte>(q[pair * 64 + i] | q[pair * 64 + 32 + i] << 4);
    }
  }
}

inline void dequantize_q4_k(const std::byte* from, float* x) {
  using namespace q4_k;
  float16 d16, e16;
  std::memcpy(&d16.bits, from, 2);
  std::memcpy(&e16.bits, from + 2, 2);
  const auto d = static_cast<float>(d16), e = static_cast<float>(e16);
  std::array<int, parts> scales, offsets;
  unpack(from + 4, scales, offsets);
  for (std::size_t p = 0; p < parts; ++p) {
    const float a = d * static_cast<float>(scales[p]), b = e * static_cast<float>(offsets[p]);
    for (std::size_t i = 0; i < part; ++i) {
      const auto byte = std::to_integer<int>(from[16 + p / 2 * 32 + i]);
      x[p * part + i] = a * static_cast<float>(p % 2 == 0 ? byte & 15 : byte >> 4) - b;
    }
  }
}

}  // namespace tinygpt::gguf

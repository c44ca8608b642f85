// Numbers of a row in few bits, a block of neighbours at a time: Q8_0, Q5_0 and Q4_0, and back.
// Source: ggml, docs/gguf.md and gguf-py's quants.py, whose bytes these are.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>

#include <tinygpt/exchange/gguf_types.hpp>
#include <tinygpt/exchange/quantize_k.hpp>
#include <tinygpt/io/tensor_map.hpp>
#include <tinygpt/layout/dtype.hpp>
#include <tinygpt/layout/float16.hpp>

namespace tinygpt::gguf {

/// 32 numbers: a scale d and q of 8 bits; x = d q. d = max |x| / 127; halves are rounded away from zero.
inline void quantize_q8_0(const float* x, std::byte* to) {
  // The bits of numbers without a sign are in the order of the numbers, and a loop of their maximum is one of vectors.
  std::uint32_t largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFF'FFFFu);
  const float d = std::bit_cast<float>(largest) / 127, inverse = 1 / d;
  const bool usable = d != 0 && std::isfinite(inverse);
  const float16 scale(d);
  std::memcpy(to, &scale.bits, 2);
  const float factor = usable ? inverse : 0;
  std::int8_t numbers[32];
  for (int i = 0; i < 32; ++i) {
    const float steps = std::fabs(x[i] * factor);
    const int whole = static_cast<int>(steps), q = whole + (steps - static_cast<float>(whole) >= 0.5f ? 1 : 0);
    numbers[i] = static_cast<std::int8_t>(x[i] < 0 ? -q : q);
  }
  std::memcpy(to + 2, numbers, sizeof numbers);
}

inline void dequantize_q8_0(const std::byte* from, float* x) {
  float16 scale;
  std::memcpy(&scale.bits, from, 2);
  const auto d = static_cast<float>(scale);
  for (int i = 0; i < 32; ++i) x[i] = d * static_cast<float>(static_cast<std::int8_t>(from[2 + i]));
}

namespace blocks {

/// x = d (q - half) with q from 0 to 2 half - 1; d = m / -half, where m is the number of largest magnitude, with its
/// sign. Writes d, gives q.
template <int half> void quantize_by_largest(const float* x, std::byte* to, std::uint8_t (&q)[32]) {
  float largest = 0, magnitude = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::fabs(x[i]) > magnitude) magnitude = std::fabs(x[i]), largest = x[i];
  }
  const float d = largest / -half, inverse = 1 / d;
  const bool usable = d != 0 && std::isfinite(inverse);
  const float16 scale(d);
  std::memcpy(to, &scale.bits, 2);
  for (int i = 0; i < 32; ++i) {
    // In double and then float, as gguf-py has it, so that no compiler's fused multiply-add changes it.
    const double shifted = usable ? static_cast<double>(x[i]) * static_cast<double>(inverse) + (half + 0.5) : half;
    q[i] = static_cast<std::uint8_t>(std::fmin(std::fmax(static_cast<float>(shifted), 0.0f), 2.0f * half - 1));
  }
}

}  // namespace blocks

/// 32 numbers: d, and 4 bits each; byte j holds numbers j (low) and j + 16 (high).
inline void quantize_q4_0(const float* x, std::byte* to) {
  std::uint8_t q[32];
  blocks::quantize_by_largest<8>(x, to, q);
  for (int j = 0; j < 16; ++j) to[2 + j] = static_cast<std::byte>(q[j] | q[j + 16] << 4);
}

inline void dequantize_q4_0(const std::byte* from, float* x) {
  float16 scale;
  std::memcpy(&scale.bits, from, 2);
  const auto d = static_cast<float>(scale);
  for (int j = 0; j < 16; ++j) {
    const auto byte = std::to_integer<int>(from[2 + j]);
    x[j] = d * static_cast<float>((byte & 15) - 8);
    x[j + 16] = d * static_cast<float>((byte >> 4) - 8);
  }
}

/// As Q4_0 with a fifth bit of each, those of all 32 in four bytes after d.
inline void quantize_q5_0(const float* x, std::byte* to) {
  std::uint8_t q[32];
  blocks::quantize_by_largest<16>(x, to, q);
  std::uint32_t high = 0;
  for (unsigned i = 0; i < 32; ++i) high |= static_cast<std::uint32_t>(q[i] >> 4) << i;
  std::memcpy(to + 2, &high, 4);
  for (int j = 0; j < 16; ++j) to[6 + j] = static_cast<std::byte>((q[j] & 15) | (q[j + 16] & 15) << 4);
}

inline void dequantize_q5_0(const std::byte* from, float* x) {
  float16 scale;
  std::uint32_t high;
  std::memcpy(&scale.bits, from, 2);
  std::memcpy(&high, from + 2, 4);
  const auto d = static_cast<float>(scale);
  for (unsigned j = 0; j < 16; ++j) {
    const auto byte = std::to_integer<unsigned>(from[6 + j]);
    const unsigned low = (byte & 15) | (high >> j & 1) << 4, upper = byte >> 4 | (high >> (j + 16) & 1) << 4;
    x[j] = d * (static_cast<float>(low) - 16);
    x[j + 16] = d * (static_cast<float>(upper) - 16);
  }
}

/// `from` in `type`: whole blocks. All numbers are finite, and below 65504 but for float32 and bfloat16.
inline void quantize(TensorType type, std::span<const float> from, std::byte* to) {
  const TensorTypeRow& row = tensor_type(type);
  const auto block = static_cast<std::size_t>(row.block), bytes = static_cast<std::size_t>(row.bytes);
  if (from.size() % block != 0) throw std::invalid_argument("gguf::quantize: the numbers are no whole blocks");
  const auto each = [&](auto&& one) {
    for (std::size_t i = 0; i < from.size(); i += block, to += bytes) one(from.data() + i);
  };
  switch (type) {
    case TensorType::f32:
      return static_cast<void>(std::memcpy(to, from.data(), from.size_bytes()));
    case TensorType::f16:
      return tensor_map::narrow<float16>(from, to);
    case TensorType::bf16:
      return tensor_map::narrow<bfloat16>(from, to);
    case TensorType::q8_0:
      return each([&](const float* x) { quantize_q8_0(x, to); });
    case TensorType::q5_0:
      return each([&](const float* x) { quantize_q5_0(x, to); });
    case TensorType::q4_0:
      return each([&](const float* x) { quantize_q4_0(x, to); });
    case TensorType::q4_k:
      return each([&](const float* x) { quantize_q4_k(x, to); });
  }
}

/// The other way.
inline void dequantize(TensorType type, const std::byte* from, std::span<float> to) {
  const TensorTypeRow& row = tensor_type(type);
  const auto block = static_cast<std::size_t>(row.block), bytes = static_cast<std::size_t>(row.bytes);
  if (to.size() % block != 0) throw std::invalid_argument("gguf::dequantize: the numbers are no whole blocks");
  const auto each = [&](auto&& one) {
    for (std::size_t i = 0; i < to.size(); i += block, from += bytes) one(to.data() + i);
  };
  switch (type) {
    case TensorType::f32:
      return static_cast<void>(std::memcpy(to.data(), from, to.size_bytes()));
    case TensorType::f16:
      return tensor_map::straight<float16>(from, to.size(), to.data());
    case TensorType::bf16:
      return tensor_map::straight<bfloat16>(from, to.size(), to.data());
    case TensorType::q8_0:
      return each([&](float* x) { dequantize_q8_0(from, x); });
    case TensorType::q5_0:
      return each([&](float* x) { dequantize_q5_0(from, x); });
    case TensorType::q4_0:
      return each([&](float* x) { dequantize_q4_0(from, x); });
    case TensorType::q4_k:
      return each([&](float* x) { dequantize_q4_k(from, x); });
  }
}

}  // namespace tinygpt::gguf

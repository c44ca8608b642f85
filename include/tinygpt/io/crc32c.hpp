// CRC-32C, by which a flipped bit in a file is noticed.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace tinygpt {

/// table[k][b]: the CRC of byte b followed by k zero bytes.
constexpr std::array<std::array<std::uint32_t, 256>, 8> crc32c_table() {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? c >> 1 ^ 0x82F63B78u : c >> 1;
    t[0][i] = c;
  }
  for (std::size_t slice = 1; slice < 8; ++slice) {
    for (std::size_t i = 0; i < 256; ++i) t[slice][i] = t[slice - 1][i] >> 8 ^ t[0][t[slice - 1][i] & 255];
  }
  return t;
}

/// What a change at the beginning of some bytes does to their CRC: crc(A' B) = crc(A B) ^ crc32c_carried(crc(A') ^
/// crc(A), length of B). A product of polynomials modulo Castagnoli's, with x^8 squared as often as the length has
/// bits.
constexpr std::uint32_t crc32c_carried(std::uint32_t change, std::uint64_t bytes) {
  constexpr std::uint32_t one = 0x80000000u;  // the lowest power is the highest bit
  const auto times = [](std::uint32_t a, std::uint32_t b) {
    std::uint32_t product = 0;
    for (std::uint32_t bit = one; bit != 0; bit >>= 1) {
      if ((a & bit) != 0) product ^= b;
      b = (b & 1) != 0 ? b >> 1 ^ 0x82F63B78u : b >> 1;
    }
    return product;
  };
  std::uint32_t power = one >> 8;
  for (; bytes != 0; bytes >>= 1) {
    if ((bytes & 1) != 0) change = times(change, power);
    power = times(power, power);
  }
  return change;
}

#if defined(__x86_64__)
/// The processor's own instruction, on three runs of bytes at once, as it takes three cycles and can begin one in each.
namespace crc32c_instruction {

inline constexpr std::size_t run = 1024;  ///< bytes

/// carried[k][b]: crc32c_carried(b << 8k, bytes).
constexpr std::array<std::array<std::uint32_t, 256>, 4> carried_table(std::uint64_t bytes) {
  std::array<std::array<std::uint32_t, 256>, 4> t{};
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t bit = 0; bit < 8; ++bit) {
      t[k][std::size_t{1} << bit] = crc32c_carried(std::uint32_t{1} << (8 * k + bit), bytes);
    }
    for (std::size_t b = 1; b < 256; ++b) t[k][b] = t[k][b & (b - 1)] ^ t[k][b & (~b + 1)];
  }
  return t;
}

inline bool available() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}

/// The register after these bytes, from what it was before.
[[gnu::target("sse4.2")]] inline std::uint32_t update(std::uint32_t state, const unsigned char* p, std::size_t n) {
  static constexpr auto one_run = carried_table(run), two_runs = carried_table(2 * run);
  const auto carry = [](const auto& t, std::uint64_t c) {
    return t[0][c & 255] ^ t[1][c >> 8 & 255] ^ t[2][c >> 16 & 255] ^ t[3][c >> 24 & 255];
  };
  const auto word = [](const unsigned char* at) {
    unsigned long long w;
    std::memcpy(&w, at, sizeof w);
    return w;
  };
  unsigned long long a = state;
  for (; n >= 3 * run; n -= 3 * run, p += 3 * run) {
    unsigned long long b = 0, c = 0;
    for (std::size_t i = 0; i < run; i += 8) {
      a = __builtin_ia32_crc32di(a, word(p + i));
      b = __builtin_ia32_crc32di(b, word(p + run + i));
      c = __builtin_ia32_crc32di(c, word(p + 2 * run + i));
    }
    a = carry(two_runs, a) ^ carry(one_run, b) ^ c;
  }
  for (; n >= 8; n -= 8, p += 8) a = __builtin_ia32_crc32di(a, word(p));
  auto end = static_cast<std::uint32_t>(a);
  for (; n > 0; --n, ++p) end = __builtin_ia32_crc32qi(end, *p);
  return end;
}

}  // namespace crc32c_instruction
#endif

/// The Castagnoli CRC of bytes that come in pieces, by the processor's instruction, or eight at a time by table.
/// Sources: RFC 3720 appendix B.4 (polynomial, check value); Kounavis and Berry 2005 (slicing by 8).
class Crc32c {
 public:
  static_assert(std::endian::native == std::endian::little,
                "tinygpt: files are little-endian, and so must the machine be");

  void update(std::span<const std::byte> bytes) {
#if defined(__x86_64__)
    if (crc32c_instruction::available()) {
      const auto* const first = reinterpret_cast<const unsigned char*>(bytes.data());
      state_ = crc32c_instruction::update(state_, first, bytes.size());
      return;
    }
#endif
    update_by_table(bytes);
  }

  void update_by_table(std::span<const std::byte> bytes) {
    static constexpr auto table = crc32c_table();
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
    std::size_t n = bytes.size();
    std::uint32_t c = state_;
    for (; n >= 8; n -= 8, p += 8) {
      std::uint32_t low, high;
      std::memcpy(&low, p, 4);
      std::memcpy(&high, p + 4, 4);
      low ^= c;
      c = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
          table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
    }
    for (; n > 0; --n, ++p) c = table[0][(c ^ *p) & 255] ^ c >> 8;
    state_ = c;
  }

  std::uint32_t value() const { return ~state_; }

  /// As if the bytes of another had come after these: `bytes` of them.
  void append(const Crc32c& other, std::uint64_t bytes) { set(crc32c_carried(value(), bytes) ^ other.value()); }

  /// As if the CRC had been `crc` after these bytes.
  void set(std::uint32_t crc) { state_ = ~crc; }

 private:
  std::uint32_t state_ = ~std::uint32_t{0};
};

inline std::uint32_t crc32c(std::span<const std::byte> bytes) {
  Crc32c crc;
  crc.update(bytes);
  return crc.value();
}

/// Eight hexadecimal digits.
inline std::string crc_text(std::uint32_t crc) {
  std::string text(8, '0');
  for (std::size_t i = 8; i > 0; --i, crc >>= 4) text[i - 1] = "0123456789abcdef"[crc & 15];
  return text;
}

}  // namespace tinygpt

// One SIMD vector of floats, as wide as the machine's registers, by the vector extensions of GCC and clang.
//
// The compiler sees ordinary arithmetic, so one source serves AVX-512, AVX2, SSE and NEON. The transcendental functions
// on it are in math.hpp.
#pragma once

#if defined(__AVX__)
#  include <immintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <utility>

#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::cpu {

#if defined(__AVX512F__)
inline constexpr int vector_width = 16;
inline constexpr const char* vector_name = "AVX-512";
#elif defined(__AVX__)
inline constexpr int vector_width = 8;
inline constexpr const char* vector_name = "AVX";
#else
inline constexpr int vector_width = 4;
inline constexpr const char* vector_name = "vectors of 128 bits";
#endif

typedef float Floats __attribute__((vector_size(vector_width * sizeof(float))));
typedef std::int32_t Ints __attribute__((vector_size(vector_width * sizeof(float))));
typedef std::uint32_t Words __attribute__((vector_size(vector_width * sizeof(float))));
typedef std::uint16_t Halves __attribute__((vector_size(vector_width * sizeof(std::uint16_t))));

/// Inlining is forced where a call would spill every register, and forbidden where two callers must get the same bits
/// (a compiler may fuse a multiplication and an addition in one inlined copy and not in the other).
#define TINYGPT_CPU_INLINE inline __attribute__((always_inline))
#define TINYGPT_CPU_NOINLINE __attribute__((noinline))

/// Calls f(integral_constant<int, 0>) ... f(integral_constant<int, N - 1>): a loop that is unrolled at any -O level.
template <int N, class F> TINYGPT_CPU_INLINE void unroll(F&& f) {
  [&]<int... Index>(std::integer_sequence<int, Index...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, Index>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

TINYGPT_CPU_INLINE Floats load(const float* p) {
  Floats x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}

TINYGPT_CPU_INLINE void store(float* p, Floats x) { __builtin_memcpy(p, &x, sizeof x); }

/// The first n < vector_width floats, the others 0; reads nothing beyond them.
TINYGPT_CPU_INLINE Floats load_first(const float* p, int n) {
  Floats x = {};
  __builtin_memcpy(&x, p, static_cast<std::size_t>(n) * sizeof(float));
  return x;
}

TINYGPT_CPU_INLINE void store_first(float* p, Floats x, int n) {
  __builtin_memcpy(p, &x, static_cast<std::size_t>(n) * sizeof(float));
}

TINYGPT_CPU_INLINE Floats broadcast(float x) { return x - Floats{}; }
TINYGPT_CPU_INLINE Ints broadcast(std::int32_t x) { return x - Ints{}; }

/// a * b + c, rounded once where the machine can (both compilers contract within one expression).
TINYGPT_CPU_INLINE Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }

TINYGPT_CPU_INLINE Floats select(Ints mask, Floats yes, Floats no) { return mask ? yes : no; }

/// b where a is NaN.
TINYGPT_CPU_INLINE Floats max(Floats a, Floats b) { return a > b ? a : b; }

TINYGPT_CPU_INLINE Ints bits(Floats x) { return std::bit_cast<Ints>(x); }
TINYGPT_CPU_INLINE Floats from_bits(Ints x) { return std::bit_cast<Floats>(x); }

/// Correctly rounded. An intrinsic, because neither compiler turns a loop of square roots into one instruction unless
/// errno is given up by a flag.
TINYGPT_CPU_INLINE Floats sqrt(Floats x) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(0xFFFF, x);  // g++ 12 warns of _mm512_sqrt_ps in its own header
#elif defined(__AVX__)
  return _mm256_sqrt_ps(x);
#else
  for (int i = 0; i < vector_width; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

/// Words with the lanes of `low` as their lower halves and those of `high` as their upper ones: a shuffle, as g++ 12
/// takes conversions of 16-bit lanes to pieces.
TINYGPT_CPU_INLINE Words joined(Halves low, Halves high) {
  return [&]<int... Index>(std::integer_sequence<int, Index...>) __attribute__((always_inline)) {
    return std::bit_cast<Words>(__builtin_shufflevector(low, high, (Index / 2 + (Index % 2) * vector_width)...));
  }
  (std::make_integer_sequence<int, 2 * vector_width>{});
}

namespace detail {

TINYGPT_CPU_INLINE Floats widened(Halves x) { return std::bit_cast<Floats>(joined(Halves{}, x)); }

/// As bfloat16's constructor rounds.
TINYGPT_CPU_INLINE Halves narrowed(Floats x) {
  const Words whole = std::bit_cast<Words>(x);
  const Words near = (whole + (0x7FFFu + (whole >> 16 & 1u))) >> 16;
  const Ints nan = (bits(x) & 0x7FFF'FFFF) > 0x7F80'0000;
  return __builtin_convertvector(nan ? near * 0 + 0x7FFFu : near, Halves);
}

}  // namespace detail

// Numbers in bf16, of which memory is full and with which nothing is computed.
TINYGPT_CPU_INLINE Floats load(const bfloat16* p) {
  Halves x;
  __builtin_memcpy(&x, p, sizeof x);
  return detail::widened(x);
}
TINYGPT_CPU_INLINE void store(bfloat16* p, Floats x) {
  const Halves narrow = detail::narrowed(x);
  __builtin_memcpy(p, &narrow, sizeof narrow);
}
TINYGPT_CPU_INLINE Floats load_first(const bfloat16* p, int n) {
  Halves x = {};
  __builtin_memcpy(&x, p, static_cast<std::size_t>(n) * sizeof(bfloat16));
  return detail::widened(x);
}
TINYGPT_CPU_INLINE void store_first(bfloat16* p, Floats x, int n) {
  const Halves narrow = detail::narrowed(x);
  __builtin_memcpy(p, &narrow, static_cast<std::size_t>(n) * sizeof(bfloat16));
}

/// What memory of type E keeps of x.
template <class E> TINYGPT_CPU_INLINE Floats rounded(Floats x) {
  if constexpr (sizeof(E) == sizeof(float)) return x;
  return detail::widened(detail::narrowed(x));
}

TINYGPT_CPU_INLINE Floats abs(Floats x) { return from_bits(bits(x) & 0x7FFFFFFF); }

/// 0, 1, 2, ...
TINYGPT_CPU_INLINE Ints iota() {
  return []<int... Index>(std::integer_sequence<int, Index...>) __attribute__((always_inline)) {
    return Ints{Index...};
  }
  (std::make_integer_sequence<int, vector_width>{});
}

namespace detail {

/// Combines the halves of the first n lanes until one is left: the same tree at every call, so the same rounding.
template <int n, class Combine> TINYGPT_CPU_INLINE float fold(Floats x, Combine combine) {
  if constexpr (n == 1) {
    return x[0];
  } else {
    const auto upper = [&]<int... Index>(std::integer_sequence<int, Index...>) __attribute__((always_inline)) {
      return __builtin_shufflevector(x, x, (Index < n / 2 ? Index + n / 2 : Index)...);
    }
    (std::make_integer_sequence<int, vector_width>{});
    return fold<n / 2>(combine(x, upper), combine);
  }
}

}  // namespace detail

/// Sum and maximum over the lanes, in a fixed tree.
TINYGPT_CPU_INLINE float sum(Floats x) {
  return detail::fold<vector_width>(
      x, [](Floats a, Floats b) __attribute__((always_inline)) { return a + b; });
}
TINYGPT_CPU_INLINE float max(Floats x) {
  return detail::fold<vector_width>(
      x, [](Floats a, Floats b) __attribute__((always_inline)) { return max(a, b); });
}

namespace detail {

/// One round of the transposition: exchanges the off-diagonal blocks of `step` lanes between rows i and i + step.
template <int step, int... L>
TINYGPT_CPU_INLINE void exchange(Floats& upper, Floats& lower, std::integer_sequence<int, L...>) {
  const Floats a = upper, b = lower;
  upper = __builtin_shufflevector(a, b, ((L & step) ? L - step + vector_width : L)...);
  lower = __builtin_shufflevector(a, b, ((L & step) ? L + vector_width : L + step)...);
}

template <int step> TINYGPT_CPU_INLINE void transpose_rounds(Floats (&rows)[vector_width]) {
  if constexpr (step > 0) {
    unroll<vector_width>([&](auto i) __attribute__((always_inline)) {
      if constexpr ((i & step) == 0) {
        exchange<step>(rows[i], rows[i + step], std::make_integer_sequence<int, vector_width>{});
      }
    });
    transpose_rounds<step / 2>(rows);
  }
}

}  // namespace detail

/// Transposes a square of vector_width x vector_width floats held in registers.
TINYGPT_CPU_INLINE void transpose(Floats (&rows)[vector_width]) { detail::transpose_rounds<vector_width / 2>(rows); }

}  // namespace tinygpt::cpu

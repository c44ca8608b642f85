// exp, tanh, erf and the logistic function on a vector of floats.
//
// Polynomials are Chebyshev interpolants (mpmath.chebyfit) of the functions named beside them; their own error is below
// a quarter of a unit in the last place of the result.
#pragma once

#include <cstdint>
#include <limits>

#include <tinygpt/cpu/vec.hpp>

namespace tinygpt::cpu {

namespace detail {

/// c[0] x^n + c[1] x^(n - 1) + ... + c[n], by Horner's rule.
template <class... C> TINYGPT_CPU_INLINE Floats polynomial(Floats x, float first, C... rest) {
  Floats value = broadcast(first);
  ((value = fma(value, x, broadcast(rest))), ...);
  return value;
}

}  // namespace detail

namespace detail {

/// e^x = 2^n e^r,   n = round(x / ln 2),   r = x - n ln 2 in two steps (the first is exact),   |r| <= ln 2 / 2
struct ReducedExp {
  Floats mantissa;  ///< e^r
  Words exponent;   ///< n
};

TINYGPT_CPU_INLINE ReducedExp reduce_exp(Floats x) {
  constexpr float round_to_int = 12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the low bits
  const Floats shifted = fma(x, broadcast(1.44269504f), broadcast(round_to_int));
  const Floats n = shifted - broadcast(round_to_int);
  Floats r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  // (e^r - 1 - r) / r^2
  const Floats p = polynomial(r, 0.00139269266f, 0.00836377387f, 0.0416665501f, 0.166665734f, 0.5f);
  return {fma(p, r * r, r) + broadcast(1.0f), std::bit_cast<Words>(shifted) - 0x4B400000u};
}

}  // namespace detail

/// e^x. At most 2 units in the last place from the true value, subnormal results included; 0 for -inf and below -104,
/// inf above 88.73, NaN for NaN.
TINYGPT_CPU_INLINE Floats exp(Floats x) {
  x = x < broadcast(-104.0f) ? broadcast(-104.0f) : x;
  x = x > broadcast(89.0f) ? broadcast(89.0f) : x;
  const auto [mantissa, n] = detail::reduce_exp(x);
  // 2^n in two factors, as n itself may be outside of the range of exponents.
  const Words half = std::bit_cast<Words>(std::bit_cast<Ints>(n) >> 1);
  return mantissa * std::bit_cast<Floats>((half + 127u) << 23) * std::bit_cast<Floats>((n - half + 127u) << 23);
}

/// e^x for x <= 1, with 0 for x < -87 where results are below the normal numbers: a third cheaper, for softmax. At most
/// 2 units in the last place from the true value otherwise; NaN for a NaN that arithmetic made.
TINYGPT_CPU_INLINE Floats exp_weight(Floats x) {
  const auto [mantissa, n] = detail::reduce_exp(x);
  return select(x < broadcast(-87.0f), Floats{}, std::bit_cast<Floats>(std::bit_cast<Words>(mantissa) + (n << 23)));
}

/// 1 / (1 + e^-x). Absolute error below 2e-7.
TINYGPT_CPU_INLINE Floats sigmoid(Floats x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(-x)); }

/// Absolute error below 3e-7; relative error below 4e-7 for |x| < 0.64.
TINYGPT_CPU_INLINE Floats tanh(Floats x) {
  const Floats magnitude = abs(x);
  const Floats square = x * x;
  // (tanh(x) / x - 1) / x^2 as a polynomial in x^2
  const Floats p =
      detail::polynomial(square, -0.00599296125f, 0.0209241482f, -0.0538351413f, 0.133326635f, -0.333333279f);
  const Floats near = fma(p * square, x, x);
  const Floats far = broadcast(1.0f) - broadcast(2.0f) / (exp(magnitude + magnitude) + broadcast(1.0f));
  return select(magnitude >= broadcast(0.64f), copy_sign(far, x), near);
}

/// Absolute error below 3e-7; relative error below 4e-7 for |x| < 1.
TINYGPT_CPU_INLINE Floats erf(Floats x) {
  const Floats magnitude = abs(x);
  // erf(x) / x as a polynomial in x^2
  const Floats near = x * detail::polynomial(x * x, 7.87587506e-5f, -0.000801686429f, 0.00518908742f, -0.026854212f,
                                             0.112835947f, -0.376126267f, 1.12837917f);
  // log(erfc(t)) / t as a polynomial in t, 1 <= t <= 4.1, where erfc is below half a unit in the last place of 1
  const Floats t = min(magnitude, broadcast(4.1f));
  const Floats far =
      broadcast(1.0f) - exp(t * detail::polynomial(t, -1.58596397e-5f, 0.000362717648f, -0.00376808888f, 0.0239235117f,
                                                   -0.106268451f, -0.635248556f, -1.12859056f));
  return select(magnitude >= broadcast(1.0f), copy_sign(far, x), near);
}

}  // namespace tinygpt::cpu

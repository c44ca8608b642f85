// exp, the logistic function and the normal distribution on a vector of floats.
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

/// 1 / (1 + e^-x). Absolute error below 2e-7, and relative error below 4e-7 where it is not below 1e-37.
TINYGPT_CPU_INLINE Floats sigmoid(Floats x) {
  const Floats e = exp_weight(-abs(x));
  return select(x < Floats{}, e, broadcast(1.0f)) / (broadcast(1.0f) + e);
}

/// The normal distribution: the chance of less than x, and e^(-x^2 / 2), which is its density times sqrt(2 pi).
struct Normal {
  Floats cdf, bell;
};

/// Absolute error of cdf below 3e-7; relative error below 1e-6 for |x| < 4.
TINYGPT_CPU_INLINE Normal normal(Floats x) {
  const Floats bell = exp_weight(x * x * -0.5f);
  // Chance of more than |x|, divided by bell and by t, as a polynomial in t = 1 / (1 + 0.3 |x|), |x| < 10: a form of
  // Hastings's (Abramowitz and Stegun 7.1.26).
  const Floats t = broadcast(1.0f) / fma(abs(x), broadcast(0.3f), broadcast(1.0f));
  const Floats p = detail::polynomial(t, 0.038115073f, -0.167595908f, 0.224740297f, -0.0711532161f, 0.138162509f,
                                      0.0968690738f, 0.121268652f, 0.119593553f);
  const Floats tail = p * t * bell;
  return {select(x < Floats{}, tail, broadcast(1.0f) - tail), bell};
}

}  // namespace tinygpt::cpu

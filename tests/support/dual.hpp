// Forward-mode automatic differentiation: a number that carries its exact derivatives along `lanes` directions at once.
// It runs through the reference backend like any scalar, so a gradient check against it has no truncation error:
// what remains is roundoff.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <type_traits>

namespace tinygpt::test {

struct Dual {
  static constexpr int lanes = 8;

  double value = 0;
  double d[lanes] = {};

  constexpr Dual() = default;
  template <class Number>
    requires std::is_arithmetic_v<Number>
  constexpr Dual(Number x) : value(static_cast<double>(x)) {}

  explicit operator double() const { return value; }

  /// f(x) where the value is f and its derivative f'.
  Dual chain(double f, double derivative) const {
    Dual r(f);
    for (int i = 0; i < lanes; ++i) r.d[i] = derivative * d[i];
    return r;
  }

  Dual& operator+=(const Dual& b) {
    value += b.value;
    for (int i = 0; i < lanes; ++i) d[i] += b.d[i];
    return *this;
  }
  Dual& operator-=(const Dual& b) {
    value -= b.value;
    for (int i = 0; i < lanes; ++i) d[i] -= b.d[i];
    return *this;
  }
  Dual& operator*=(const Dual& b) {
    for (int i = 0; i < lanes; ++i) d[i] = d[i] * b.value + value * b.d[i];
    value *= b.value;
    return *this;
  }
  Dual& operator/=(const Dual& b) {
    value /= b.value;
    for (int i = 0; i < lanes; ++i) d[i] = (d[i] - value * b.d[i]) / b.value;
    return *this;
  }

  friend Dual operator+(Dual a, const Dual& b) { return a += b; }
  friend Dual operator-(Dual a, const Dual& b) { return a -= b; }
  friend Dual operator*(Dual a, const Dual& b) { return a *= b; }
  friend Dual operator/(Dual a, const Dual& b) { return a /= b; }
  friend Dual operator-(const Dual& a) { return a.chain(-a.value, -1); }

  // The order and the equality of the values: a branch on a number takes the side of its value.
  friend bool operator<(const Dual& a, const Dual& b) { return a.value < b.value; }
  friend bool operator>(const Dual& a, const Dual& b) { return a.value > b.value; }
  friend bool operator<=(const Dual& a, const Dual& b) { return a.value <= b.value; }
  friend bool operator>=(const Dual& a, const Dual& b) { return a.value >= b.value; }
  friend bool operator==(const Dual& a, const Dual& b) { return a.value == b.value; }

  friend Dual exp(const Dual& a) { return a.chain(std::exp(a.value), std::exp(a.value)); }
  friend Dual log(const Dual& a) { return a.chain(std::log(a.value), 1 / a.value); }
  friend Dual sqrt(const Dual& a) { return a.chain(std::sqrt(a.value), 0.5 / std::sqrt(a.value)); }
  friend Dual tanh(const Dual& a) {
    const double t = std::tanh(a.value);
    return a.chain(t, 1 - t * t);
  }
  friend Dual erf(const Dual& a) {
    return a.chain(std::erf(a.value), 2 / std::sqrt(3.14159265358979323846) * std::exp(-a.value * a.value));
  }
};

}  // namespace tinygpt::test

template <>
struct Eigen::NumTraits<tinygpt::test::Dual> : Eigen::NumTraits<double> {
  using Real = tinygpt::test::Dual;
  using NonInteger = tinygpt::test::Dual;
  using Nested = tinygpt::test::Dual;
  enum {
    IsComplex = 0,
    IsInteger = 0,
    IsSigned = 1,
    RequireInitialization = 1,
    ReadCost = 1,
    AddCost = tinygpt::test::Dual::lanes,
    MulCost = 3 * tinygpt::test::Dual::lanes
  };
};

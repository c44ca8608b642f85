// The gradient of one operation: inputs and outputs are plain arrays, the loss is the product of the outputs with fixed
// cotangents, and the library's backward pass is compared with dual numbers input by input.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include <tinygpt/reference/reference.hpp>

#include "catch.hpp"
#include "dual.hpp"
#include "numbers.hpp"

namespace tinygpt::test {

template <class S>
using Arrays = std::vector<std::vector<S>>;

inline constexpr int B = 2, T = 3;

/// What a parameter's gradient holds before a backward pass that adds to it, and an activation's before one that
/// overwrites it.
inline constexpr double earlier = 0.5;
inline constexpr double garbage = std::numeric_limits<double>::quiet_NaN();

inline std::vector<double> filled(std::size_t n, double value) { return std::vector<double>(n, value); }

/// Roundoff of sums of at most 100 products of numbers around 1; see `exact` of the whole models.
inline constexpr double op_exact = 1e-13;

template <class S>
S dot(const std::vector<S>& outputs, const std::vector<double>& cotangents) {
  S sum(0);
  for (std::size_t i = 0; i < outputs.size(); ++i) sum += outputs[i] * S(cotangents[i]);
  return sum;
}

/// The gradient of loss(inputs) with respect to each input.
template <class Loss>
Arrays<double> dual_gradient(const Arrays<double>& inputs, Loss loss) {
  Arrays<Dual> at;
  for (const auto& x : inputs) at.emplace_back(x.begin(), x.end());
  Arrays<double> gradient;
  for (auto& x : at) {
    std::vector<double>& g = gradient.emplace_back(x.size());
    for (std::size_t first = 0; first < x.size(); first += Dual::lanes) {
      const std::size_t lanes = std::min<std::size_t>(Dual::lanes, x.size() - first);
      for (std::size_t k = 0; k < lanes; ++k) x[first + k].d[k] = 1;
      const Dual value = loss(at);
      for (std::size_t k = 0; k < lanes; ++k) g[first + k] = value.d[k], x[first + k].d[k] = 0;
    }
  }
  return gradient;
}

/// Compares input by input. Where a gradient accumulates, `before` says what it held.
inline void check_gradient(const std::string& name, std::vector<double> actual, const std::vector<double>& expected,
                           double before = 0) {
  for (double& g : actual) g -= before;
  INFO(name);
  REQUIRE(norm2(expected) > 0);
  CHECK(relative_error(actual, expected) <= op_exact);
}

/// Views of arrays as tensors of a batch, and of parameters.
template <class Axis, class S>
auto tokens(std::vector<S>& x) {
  return Tensor<S, Batch<dyn>, Time<dyn>, Axis>(x.data(), B, T);
}
template <class Axis, class S>
auto tokens(const std::vector<S>& x) {
  return Tensor<const S, Batch<dyn>, Time<dyn>, Axis>(x.data(), B, T);
}
template <class S>
auto statistics(std::vector<S>& x) {
  return Tensor<S, Batch<dyn>, Time<dyn>>(x.data(), B, T);
}
template <class... Axes, class S>
auto parameter(std::vector<S>& x) {
  return Tensor<S, Axes...>(x.empty() ? nullptr : x.data());
}
template <class... Axes, class S>
auto parameter(const std::vector<S>& x) {
  return Tensor<const S, Axes...>(x.empty() ? nullptr : x.data());
}

/// Dropout of every fifth element or so; ctx is larger than T, as in a batch of short sequences.
inline constexpr Dropout some_dropout{13107, 4, 11, 5, 8};

}  // namespace tinygpt::test

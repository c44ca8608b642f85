// Numbers for tests: reproducible ones, and how far apart two lots of them are.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace tinygpt::test {

/// n numbers of a normal distribution around `mean`, the same for the same seed.
inline std::vector<double> normal(std::size_t n, unsigned seed, double deviation = 1, double mean = 0) {
  std::mt19937 bits(seed);
  std::normal_distribution<double> distribution(mean, deviation);
  std::vector<double> x(n);
  for (double& e : x) e = distribution(bits);
  return x;
}

/// n whole numbers in [0, bound).
inline std::vector<std::int32_t> whole(std::size_t n, int bound, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<std::int32_t> x(n);
  for (std::int32_t& e : x) e = static_cast<std::int32_t>(bits() % static_cast<unsigned>(bound));
  return x;
}

inline double norm2(std::span<const double> x) {
  double sum = 0;
  for (double e : x) sum += e * e;
  return std::sqrt(sum);
}

/// |actual - expected| / |expected| in the 2-norm. Not a number where `actual` holds one that is not.
inline double relative_error(std::span<const double> actual, std::span<const double> expected) {
  if (actual.size() != expected.size()) return std::nan("");
  std::vector<double> difference(actual.size());
  for (std::size_t i = 0; i < actual.size(); ++i) difference[i] = actual[i] - expected[i];
  return norm2(difference) / norm2(expected);
}

}  // namespace tinygpt::test

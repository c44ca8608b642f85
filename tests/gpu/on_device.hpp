// What tests of the gpu backend stand on: numbers on the device and the same numbers for the reference.
//
// A test of kernels is one source for two machines: a plain compiler runs it on the emulator (tests/support/emulator),
// nvcc (-x cu) on a GPU. So a device's memory is reached through these functions only, never by its address.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <numbers.hpp>
#include <tinygpt/gpu/check.cuh>
#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::test {

/// Does the test run on the emulator? It is slow, so it gets fewer shapes.
inline bool emulated() {
  cudaDeviceProp properties;
  gpu::check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  return std::string(properties.name) == "an emulated GPU";
}

/// Contexts of tests keep no plans of matrix products, so they time none: there are hundreds of shapes, each met once.
inline const bool no_plans = ::setenv("TINYGPT_CACHE", "", /*replace*/ 0) == 0;

/// How many random shapes a kernel is tried on: what TINYGPT_TEST_SHAPES says, which is few under a checker of memory.
inline int shapes() {
  static const int n = [] {
    const char* wanted = std::getenv("TINYGPT_TEST_SHAPES");
    return wanted != nullptr ? std::stoi(wanted) : emulated() ? 24 : 200;
  }();
  return n;
}

/// Numbers in the device's memory that free themselves. An empty vector is a null pointer: a tensor that is not there.
template <class N>
class OnDevice {
 public:
  OnDevice() = default;
  explicit OnDevice(const std::vector<N>& numbers) : size_(numbers.size()) {
    if (size_ == 0) return;
    gpu::check(cudaMalloc(&data_, size_ * sizeof(N)), "cudaMalloc");
    assign(numbers);
  }
  OnDevice(OnDevice&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  OnDevice& operator=(OnDevice&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~OnDevice() { cudaFree(data_); }

  N* data() const { return data_; }
  std::size_t size() const { return size_; }

  /// Other numbers, as many. Waits before and after: the streams of contexts do not wait for a plain copy.
  void assign(const std::vector<N>& numbers) {
    gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    gpu::check(cudaMemcpy(data_, numbers.data(), size_ * sizeof(N), cudaMemcpyHostToDevice), "cudaMemcpy");
    gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }

  /// What is there after all operations before.
  std::vector<N> host() const {
    std::vector<N> numbers(size_);
    gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    if (size_ > 0) gpu::check(cudaMemcpy(numbers.data(), data_, size_ * sizeof(N), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return numbers;
  }

 private:
  N* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The same numbers in another type, rounded to the nearest where it has fewer digits.
template <class To, class From>
std::vector<To> as(const std::vector<From>& numbers) {
  std::vector<To> result;
  result.reserve(numbers.size());
  for (const From& x : numbers) {
    if constexpr (std::is_same_v<From, bfloat16>) {
      result.push_back(static_cast<To>(static_cast<float>(x)));
    } else if constexpr (std::is_same_v<To, bfloat16>) {
      result.push_back(bfloat16(static_cast<float>(x)));
    } else {
      result.push_back(static_cast<To>(x));
    }
  }
  return result;
}

/// A tensor that both backends have: in E on the device, and in double for the reference, which begins with the numbers
/// that E can hold. Without numbers it is a null view in both.
template <class E>
class Twin {
 public:
  Twin() = default;
  explicit Twin(const std::vector<double>& numbers)
      : start_(as<E>(numbers)), device_(start_), exact_(as<double>(start_)) {}

  E* gpu() const { return device_.data(); }
  double* exact() { return exact_.empty() ? nullptr : exact_.data(); }

  std::vector<double> from_gpu() const { return as<double>(device_.host()); }
  const std::vector<double>& from_exact() const { return exact_; }

  /// How far the two are apart, relative to the reference (2-norms); 0 for two lots of zeros, and for null views.
  double error() const {
    const std::vector<double> actual = from_gpu();
    if (norm2(exact_) == 0) return norm2(actual);
    return relative_error(actual, exact_);
  }

  /// Both as they began.
  void reset() {
    if (!start_.empty()) device_.assign(start_);
    exact_ = as<double>(start_);
  }

 private:
  std::vector<E> start_;
  OnDevice<E> device_;
  std::vector<double> exact_;
};

/// A relative error (2-norm) that rounding explains, in a tensor of type E computed by sums of `longest` terms in float.
template <class E>
double tolerance(double longest) {
  return std::is_same_v<E, bfloat16> ? 1e-2 : 1e-6 * std::sqrt(longest);
}

}  // namespace tinygpt::test

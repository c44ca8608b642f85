// A kernel header as gpu/device.cuh describes one: right, deterministic, in float and in bfloat16.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <tinygpt/ops/dropout.hpp>

#include "catch.hpp"
#include "numbers.hpp"
#include "row_softmax.cuh"

using namespace tinygpt;
using namespace tinygpt::gpu;

namespace {

/// Roundoff of one operation on E, relative.
template <class E> constexpr double epsilon = std::is_same_v<E, float> ? 0x1p-24 : 0x1p-9;

template <class E> void softmax_is_right(std::int64_t rows, int width) {
  const auto numbers = test::normal(static_cast<std::size_t>(rows * width), 3, 4);
  std::vector<E> x(numbers.size()), first;
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = E(static_cast<float>(numbers[i]));
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    std::vector<E> y(x.size());
    softmax_rows(y.data(), x.data(), rows, width, nullptr);
    if (first.empty()) first = y;
    CHECK(std::memcmp(first.data(), y.data(), y.size() * sizeof(E)) == 0);
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto in = [&](int i) {
      return static_cast<double>(static_cast<float>(x[static_cast<std::size_t>(r * width + i)]));
    };
    double largest = in(0), sum = 0;
    for (int i = 1; i < width; ++i) largest = std::max(largest, in(i));
    for (int i = 0; i < width; ++i) sum += std::exp(in(i)-largest);
    for (int i = 0; i < width; ++i) {
      const double expected = std::exp(in(i)-largest) / sum;
      // Each float exponential is off by its argument's roundoff and its own; so is each term of the sum.
      const double tolerance = ((largest - in(i)) + 40 + width) * 0x1p-23 + 2 * epsilon<E>;
      CHECK(std::abs(static_cast<float>(first[static_cast<std::size_t>(r * width + i)]) - expected) <=
            tolerance * expected);
    }
  }
}

TEST_CASE("the example kernel is softmax, in float and in bfloat16, the same bits in every order") {
  softmax_is_right<float>(3, 4);
  softmax_is_right<float>(2, 1000);
  softmax_is_right<bfloat16>(3, 8);
  softmax_is_right<bfloat16>(2, 1048);
}

/// The mask that a kernel draws, as one bit per element.
__global__ void draw_mask(std::uint8_t* kept, Dropout dropout, int width) {
  const std::int64_t row = blockIdx.x, groups = Dropout::groups(width);
  for (std::int64_t group = threadIdx.x; group < groups; group += blockDim.x) {
    const auto numbers = dropout.numbers(row * groups + group);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      const std::int64_t column = group * 8 + k;
      const std::uint32_t number = k % 2 != 0 ? numbers[k / 2] >> 16 : numbers[k / 2] & 0xFFFFu;
      if (column < width) kept[row * width + column] = number >= dropout.threshold;
    }
  }
}

TEST_CASE("a kernel draws the dropout masks of all backends") {
  const int rows = 3, width = 1003;
  const Dropout dropout{0x4000, 7, 1234567890123, 42, width};
  std::vector<std::uint8_t> kept(rows * width);
  launch<draw_mask>(Grid{rows, 64}, kept.data(), dropout, width);
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < width; ++c)
      CHECK((kept[static_cast<std::size_t>(r * width + c)] != 0) == dropout.keeps(r, c, width));
  }
}

}  // namespace

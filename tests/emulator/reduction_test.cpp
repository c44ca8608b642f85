// Sums over warps and blocks, and the same bits in every order of the threads.
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <tinygpt/gpu/block_reduce.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

#include "catch.hpp"
#include "numbers.hpp"

using namespace tinygpt;
using namespace tinygpt::gpu;

namespace {

template <int Threads> struct SumShared { BlockReduce<Threads, float> row; };

template <int Threads>
__global__ void __launch_bounds__(Threads) row_sum_and_max(float* sums, float* maxima, const float* x, int width) {
  auto& shared = shared_memory<SumShared<Threads>>();
  const float* row = x + static_cast<std::int64_t>(blockIdx.x) * width;
  float sum = 0, most = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += Threads) {
    sum += row[i];
    most = max(most, row[i]);
  }
  sum = block_sum(sum, shared.row);
  most = block_max(most, shared.row);
  sums[blockIdx.x * Threads + threadIdx.x] = sum;
  maxima[blockIdx.x * Threads + threadIdx.x] = most;
}

template <int Threads> void sums_are_right() {
  const int rows = 7, width = 1003;
  const std::vector<double> numbers = test::normal(rows * width, 1);
  const std::vector<float> x(numbers.begin(), numbers.end());
  std::vector<std::vector<float>> results;
  for (const emulator::Order order : {emulator::Order{}, emulator::Order{emulator::Order::descending},
                                      emulator::Order{emulator::Order::shuffled, 7}}) {
    const emulator::WithOrder with(order);
    std::vector<float> sums(rows * Threads), maxima(rows * Threads);
    launch<row_sum_and_max<Threads>>(Grid{rows, Threads, sizeof(SumShared<Threads>)}, sums.data(), maxima.data(),
                                     x.data(), width);
    for (int r = 0; r < rows; ++r) {
      const auto row = x.begin() + r * width;
      const double sum = std::accumulate(row, row + width, 0.0);
      for (int t = 0; t < Threads; ++t) {
        const auto at = static_cast<std::size_t>(r * Threads + t);
        CHECK(std::abs(sums[at] - sum) < 1e-3);
        CHECK(maxima[at] == *std::max_element(row, row + width));
      }
    }
    sums.insert(sums.end(), maxima.begin(), maxima.end());
    results.push_back(sums);
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("every thread gets the sum and the largest of its block, the same bits in every order") {
  sums_are_right<32>();
  sums_are_right<64>();
  sums_are_right<256>();
  sums_are_right<1024>();
}

}  // namespace

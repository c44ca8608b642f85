// Missing barriers, found by ThreadSanitizer whichever way the threads ran. Built with it; see CMakeLists.txt.
#include <cstdint>
#include <string>
#include <vector>

#include <tinygpt/gpu/block_reduce.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

#include "catch.hpp"

using namespace tinygpt;
using namespace tinygpt::gpu;
using Catch::Matchers::Contains;

namespace {

struct Row {
  alignas(16) float value[64];
};

enum class Order { none, shuffle, warp, block };

template <Order order> __device__ void keep_order() {
  if constexpr (order == Order::shuffle) __shfl_xor_sync(full_warp, 1, 1);
  if constexpr (order == Order::warp) __syncwarp();
  if constexpr (order == Order::block) __syncthreads();
}

/// Each thread reads what its neighbour in the warp has written.
template <Order order> __global__ void read_neighbour(float* y) {
  auto& shared = shared_memory<Row>();
  shared.value[threadIdx.x] = static_cast<float>(threadIdx.x);
  keep_order<order>();
  y[global_thread()] = shared.value[threadIdx.x ^ 1];
}

/// Each thread reads what a thread of the other warp has written.
template <Order order> __global__ void read_other_warp(float* y) {
  auto& shared = shared_memory<Row>();
  shared.value[threadIdx.x] = static_cast<float>(threadIdx.x);
  keep_order<order>();
  y[global_thread()] = shared.value[threadIdx.x ^ 32];
}

/// Writes again what others may still read.
template <Order order> __global__ void write_again(float* y) {
  auto& shared = shared_memory<Row>();
  shared.value[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  const float other = shared.value[63 - threadIdx.x];
  keep_order<order>();
  shared.value[threadIdx.x] = other;
  y[global_thread()] = other;
}

/// Every thread waits for its own copies and reads another's.
template <Order order> __global__ void read_copied(float* y, const float* x) {
  auto& shared = shared_memory<Row>();
  if (threadIdx.x < 16) cp_async_16(&shared.value[threadIdx.x * 4], x + threadIdx.x * 4);
  cp_async_commit();
  cp_async_wait<0>();
  keep_order<order>();
  y[global_thread()] = shared.value[threadIdx.x];
}

/// Rows written by the lanes, loaded by the warp.
template <Order order> __global__ void load_matrix(float* y) {
  auto& shared = shared_memory<Row>();
  const int lane = lane_id();
  auto* const rows = reinterpret_cast<std::uint32_t*>(shared.value);
  rows[lane] = static_cast<std::uint32_t>(lane);
  rows[lane + 32] = static_cast<std::uint32_t>(lane + 32);
  keep_order<order>();
  std::uint32_t r[2];
  ldmatrix_x2(r, rows + lane % 16 * 4);
  y[global_thread()] = static_cast<float>(r[0]);
}

/// All blocks write the same place: with atomics that is order, without it is none.
template <bool Atomically> __global__ void write_from_all_blocks(float* y) {
  if constexpr (Atomically) {
    atomicAdd(y + threadIdx.x, 1.0f);
  } else {
    y[threadIdx.x] = 1;
  }
}

template <auto kernel, class... Arguments>
std::string failure_of(unsigned blocks, unsigned threads, Arguments... arguments) {
  std::vector<float> y(std::size_t{blocks} * threads);
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    try {
      launch<kernel>(Grid{blocks, threads, sizeof(Row)}, y.data(), arguments...);
    } catch (const emulator::Failure& failure) {
      return failure.what();
    }
  }
  return "";
}

TEST_CASE("ThreadSanitizer watches") { REQUIRE(emulator::thread_sanitizer); }

TEST_CASE("memory shared within a warp wants __syncwarp, which a shuffle is not") {
  CHECK_THAT(failure_of<read_neighbour<Order::none>>(1, 64),
             Contains("with no barrier between: ThreadSanitizer says where"));
  CHECK_THAT(failure_of<read_neighbour<Order::shuffle>>(1, 64), Contains("with no barrier between"));
  CHECK(failure_of<read_neighbour<Order::warp>>(3, 64) == "");
  CHECK(failure_of<read_neighbour<Order::block>>(3, 64) == "");
}

TEST_CASE("memory shared between warps wants __syncthreads") {
  CHECK_THAT(failure_of<read_other_warp<Order::warp>>(1, 64), Contains("with no barrier between"));
  CHECK(failure_of<read_other_warp<Order::block>>(3, 64) == "");
}

TEST_CASE("a barrier is wanted between reading and the next writing") {
  CHECK_THAT(failure_of<write_again<Order::none>>(1, 64), Contains("with no barrier between"));
  CHECK_THAT(failure_of<write_again<Order::warp>>(1, 64), Contains("with no barrier between"));
  CHECK(failure_of<write_again<Order::block>>(3, 64) == "");
}

TEST_CASE("what one thread has copied and waited for, others see after a barrier") {
  alignas(16) const float x[64] = {};
  CHECK_THAT(failure_of<read_copied<Order::none>>(1, 64, x), Contains("with no barrier between"));
  CHECK(failure_of<read_copied<Order::block>>(3, 64, x) == "");
}

TEST_CASE("ldmatrix loads what the lanes have written before a barrier of the warp") {
  CHECK_THAT(failure_of<load_matrix<Order::none>>(1, 32), Contains("with no barrier between"));
  CHECK(failure_of<load_matrix<Order::warp>>(3, 32) == "");
}

TEST_CASE("blocks write to one place by atomic operations only") {
  CHECK_THAT(failure_of<write_from_all_blocks<false>>(2, 32),
             Contains("block (") && Contains("with no barrier between"));
  CHECK(failure_of<write_from_all_blocks<true>>(4, 32) == "");
}

template <int Threads> __global__ void sums(float* y) {
  auto& shared = shared_memory<BlockReduce<Threads, float>>();
  float total = 0;
  for (int i = 0; i < 4; ++i) total += block_sum(1.0f, shared) + block_max(1.0f, shared);
  y[global_thread()] = total;
}

TEST_CASE("sums over a block, one after the other in the same memory, have the barriers that they need") {
  CHECK(failure_of<sums<64>>(2, 64) == "");
  CHECK(failure_of<sums<256>>(2, 256) == "");
}

}  // namespace

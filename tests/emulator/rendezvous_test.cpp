// Barriers, shuffles and votes: what they give, and what is said where they are used wrongly.
#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

#include "catch.hpp"

using namespace tinygpt;
using namespace tinygpt::gpu;
using Catch::Matchers::Contains;

namespace {

constexpr unsigned lower_half = 0x0000'FFFFu;

__global__ void shuffles(int* out, float* wide) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane] = __shfl_sync(full_warp, 100 + lane, 5);
  out[32 + lane] = __shfl_sync(full_warp, 100 + lane, 10, 8);  // lane 10 % 8 of each group of 8
  out[64 + lane] = __shfl_up_sync(full_warp, lane, 3);
  out[96 + lane] = __shfl_up_sync(full_warp, lane, 3, 16);
  out[128 + lane] = __shfl_down_sync(full_warp, lane, 3);
  out[160 + lane] = __shfl_down_sync(full_warp, lane, 3, 16);
  out[192 + lane] = __shfl_xor_sync(full_warp, lane, 9);
  out[224 + lane] = lane < 16 ? __shfl_xor_sync(lower_half, lane, 1) : __shfl_xor_sync(~lower_half, lane, 2);
  wide[lane] = static_cast<float>(__shfl_xor_sync(full_warp, 0.5 + lane, 1));
}

TEST_CASE("shuffles read the lanes that CUDA says") {
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    std::vector<int> out(256);
    std::vector<float> wide(32);
    launch<shuffles>(Grid{1, 32}, out.data(), wide.data());
    std::array<std::vector<int>, 8> rows;
    for (std::size_t i = 0; i < out.size(); ++i) rows[i / 32].push_back(out[i]);
    for (int lane = 0; lane < 32; ++lane) {
      const auto l = static_cast<std::size_t>(lane);
      CHECK(rows[0][l] == 105);
      CHECK(rows[1][l] == 100 + lane / 8 * 8 + 2);
      CHECK(rows[2][l] == (lane < 3 ? lane : lane - 3));
      CHECK(rows[3][l] == (lane % 16 < 3 ? lane : lane - 3));
      CHECK(rows[4][l] == (lane > 28 ? lane : lane + 3));
      CHECK(rows[5][l] == (lane % 16 > 12 ? lane : lane + 3));
      CHECK(rows[6][l] == (lane ^ 9));
      CHECK(rows[7][l] == (lane ^ (lane < 16 ? 1 : 2)));
      CHECK(wide[l] == 0.5f + static_cast<float>(lane ^ 1));
    }
  }
}

__global__ void votes(unsigned* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned odd = __ballot_sync(full_warp, lane % 2);
  const int any = __any_sync(full_warp, lane == 31), none = __any_sync(full_warp, lane == 32);
  const int all = __all_sync(full_warp, lane < 32), not_all = __all_sync(full_warp, lane < 31);
  const int count = __syncthreads_count(lane < 7), either = __syncthreads_or(lane == 3);
  const int each = __syncthreads_and(lane != 3);
  if (lane != 0) return;
  const unsigned found[] = {odd,
                            static_cast<unsigned>(any),
                            static_cast<unsigned>(none),
                            static_cast<unsigned>(all),
                            static_cast<unsigned>(not_all),
                            static_cast<unsigned>(count),
                            static_cast<unsigned>(either),
                            static_cast<unsigned>(each)};
  for (int i = 0; i < 8; ++i) out[i] = found[i];
}

TEST_CASE("votes count the lanes and the threads that vote") {
  std::vector<unsigned> out(8);
  launch<votes>(Grid{1, 32}, out.data());
  CHECK(out == std::vector<unsigned>{0xAAAA'AAAAu, 1, 0, 1, 0, 7, 1, 0});
}

struct Pass {
  int value[64];
};

__global__ void pass_along(int* out) {
  auto& shared = shared_memory<Pass>();
  const int t = static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  int mine = t;
  for (int round = 0; round < 10; ++round) {
    shared.value[t] = mine;
    __syncthreads();
    mine = shared.value[(t + 1) % 64];
    __syncthreads();
  }
  out[t + 64 * static_cast<int>(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z))] = mine;
}

TEST_CASE("barriers keep rounds apart, in grids and blocks of three dimensions") {
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    std::vector<int> out(64 * 30);
    launch<pass_along>(Grid{dim3(2, 3, 5), dim3(8, 4, 2), sizeof(Pass)}, out.data());
    for (int i = 0; i < 64 * 30; ++i) CHECK(out[static_cast<std::size_t>(i)] == (i % 64 + 10) % 64);
  }
}

// ---- Kernels that are wrong

__global__ void half_reach_the_barrier() {
  if (threadIdx.x < 40) __syncthreads();
}

__global__ void barrier_in_both_branches() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_against_shuffle() {
  if (threadIdx.x == 3) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

__global__ void shuffle_without_a_lane_that_returned() {
  if (threadIdx.x == 7) return;
  __shfl_xor_sync(full_warp, 1, 1);
}

__global__ void mask_without_oneself() { __syncwarp(1u << (threadIdx.x + 1) % 32); }

__global__ void mask_of_lanes_that_are_not_there() { __syncwarp(full_warp); }

__global__ void read_a_lane_outside_the_mask() {
  if (threadIdx.x < 16) __shfl_sync(lower_half, 1, 20);
}

__global__ void different_masks() { __syncwarp(threadIdx.x == 0 ? full_warp : full_warp - 1); }

__global__ void different_operations() {
  if (threadIdx.x % 2 == 0) {
    __shfl_xor_sync(full_warp, 1, 1);
  } else {
    __shfl_down_sync(full_warp, 1, 1);
  }
}

template <auto kernel> std::string failure_of(unsigned threads) {
  std::string first;
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    try {
      launch<kernel>(Grid{1, threads});
    } catch (const emulator::Failure& failure) {
      if (first.empty()) first = failure.what();
      continue;
    }
    FAIL("an order of the threads hid the mistake");
  }
  return first;
}

TEST_CASE("threads that wait for what cannot come are told apart, each with its place") {
  CHECK_THAT(failure_of<half_reach_the_barrier>(64),
             Contains("half_reach_the_barrier") && Contains("block (0, 0, 0)") &&
                 Contains("threads 0-39 wait at __syncthreads (") && Contains("rendezvous_test.cpp:") &&
                 Contains("threads 40-63 have returned: all threads of a block must reach the same __syncthreads()"));
  CHECK_THAT(failure_of<barrier_in_both_branches>(64),
             Contains("threads 0-31 wait at __syncthreads") && Contains("threads 32-63 wait at __syncthreads"));
  CHECK_THAT(failure_of<barrier_against_shuffle>(32),
             Contains("threads 0-2 4-31 wait at __syncwarp of lanes 0xffffffff") &&
                 Contains("threads 3 wait at __syncthreads"));
  CHECK_THAT(failure_of<shuffle_without_a_lane_that_returned>(32),
             Contains("threads 0-6 8-31 wait at __shfl_xor_sync of lanes 0xffffffff") &&
                 Contains("threads 7 have returned: all lanes of a mask must reach the same operation"));
  CHECK_THAT(failure_of<different_masks>(32),
             Contains("threads 0 wait at __syncwarp of lanes 0xffffffff") && Contains("threads 1-31 have returned"));
  CHECK_THAT(failure_of<different_operations>(32), Contains("__shfl_xor_sync") && Contains("__shfl_down_sync"));
}

TEST_CASE("masks name the thread itself and lanes that there are") {
  CHECK_THAT(failure_of<mask_without_oneself>(32), Contains("whose mask does not name the thread itself"));
  CHECK_THAT(failure_of<mask_of_lanes_that_are_not_there>(48),
             Contains("thread 32 reaches __syncwarp") && Contains("its warp has only 16 threads: launch whole warps"));
  CHECK_THAT(failure_of<read_a_lane_outside_the_mask>(32), Contains("reads lane 20 in __shfl_sync"));
}

__global__ void throws(int thread) {
  std::vector<int> held(100);  // freed when the block is given up
  if (static_cast<int>(threadIdx.x) == thread) throw std::runtime_error("thread of the kernel");
  __syncthreads();
}

__global__ void count(int* n) { atomicAdd(n, 1); }

TEST_CASE("what a kernel throws comes out of its launch, and the next launch is whole") {
  for (const int thread : {0, 31, 63}) {
    CHECK_THROWS_WITH(launch<throws>(Grid{1, 64}, thread), "thread of the kernel");
    int n = 0;
    launch<count>(Grid{3, 64}, &n);
    CHECK(n == 3 * 64);
  }
}

TEST_CASE("device code outside a kernel is refused") {
  CHECK_THROWS_WITH(__syncthreads(), Contains("outside a kernel"));
}

__global__ void launches_another() { launch<count>(Grid{1, 1}, nullptr); }

TEST_CASE("a kernel that starts a kernel is refused") {
  CHECK_THROWS_WITH(launch<launches_another>(Grid{1, 32}), Contains("starts another kernel"));
}

TEST_CASE("a launch that no GPU takes is refused, with its place") {
  int n = 0;
  CHECK_THROWS_WITH(launch<count>(Grid{1, 1025}, &n), Contains("CUDA failed in the launch of") &&
                                                          Contains("count at") && Contains("rendezvous_test.cpp:") &&
                                                          Contains("cudaErrorInvalidConfiguration"));
  CHECK_THROWS_AS(launch<count>(Grid{1, 0}, &n), Error);
  CHECK_THROWS_AS(launch<count>(Grid{dim3(1, 65536), 1}, &n), Error);
  CHECK_THROWS_AS(launch<count>(Grid{1, 1, 99 * 1024 + 1}, &n), Error);
  launch<count>(Grid{0, 64}, &n);  // no blocks: no work
  launch<count>(Grid{1, 1024, 99 * 1024}, &n);
  CHECK(n == 1024);
  CHECK(blocks_for(0, 4) == 0);
  CHECK(blocks_for(8, 4) == 2);
  CHECK(blocks_for(9, 4) == 3);
  CHECK_THROWS_AS(blocks_for(std::int64_t{1} << 40, 4), Error);
}

__global__ void order_of_blocks(int* next, int* order) { order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x); }

TEST_CASE("blocks and threads run in the order that is asked for") {
  const auto blocks = [](emulator::Order order) {
    const emulator::WithOrder with(order);
    std::vector<int> seen(6);
    int next = 0;
    launch<order_of_blocks>(Grid{6, 1}, &next, seen.data());
    return seen;
  };
  const std::vector<int> upwards{0, 1, 2, 3, 4, 5}, downwards{5, 4, 3, 2, 1, 0};
  CHECK(blocks({emulator::Order::ascending}) == upwards);
  CHECK(blocks({emulator::Order::descending}) == downwards);
  const auto shuffled = blocks({emulator::Order::shuffled, 1});
  CHECK(shuffled != upwards);
  CHECK(shuffled == blocks({emulator::Order::shuffled, 1}));
  CHECK(shuffled != blocks({emulator::Order::shuffled, 2}));
  CHECK(std::is_permutation(shuffled.begin(), shuffled.end(), upwards.begin()));
}

}  // namespace

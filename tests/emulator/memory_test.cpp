// Shared memory, vectors, asynchronous copies, atomics: what a kernel reads that was not written, or not waited for.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
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
  float value[64];
};

__global__ void read_what_nobody_wrote(float* out) {
  auto& shared = shared_memory<Row>();
  if (blockIdx.x == 0) shared.value[threadIdx.x] = 1;  // the next block must not find these
  out[global_thread()] = shared.value[threadIdx.x];
}

TEST_CASE("shared memory that was not written is not a number, in every block") {
  std::vector<float> out(128);
  launch<read_what_nobody_wrote>(Grid{2, 64, sizeof(Row)}, out.data());
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(out[i] == 1);
    CHECK(std::isnan(out[64 + i]));
  }
}

enum class Barrier { yes, no };

template <Barrier barrier> __global__ void reverse(float* out) {
  auto& shared = shared_memory<Row>();
  const auto t = threadIdx.x;
  shared.value[t] = static_cast<float>(t);
  if (barrier == Barrier::yes) __syncthreads();
  out[t] = shared.value[63 - t];
}

template <auto kernel> std::vector<std::vector<float>> in_every_order(std::size_t n, std::size_t shared_bytes) {
  std::vector<std::vector<float>> results;
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    results.emplace_back(n);
    launch<kernel>(Grid{1, static_cast<unsigned>(n), shared_bytes}, results.back().data());
  }
  return results;
}

bool same_bits(const std::vector<std::vector<float>>& results) {
  for (const auto& r : results) {
    if (std::memcmp(r.data(), results[0].data(), r.size() * sizeof(float)) != 0) return false;
  }
  return true;
}

TEST_CASE("a kernel gives the same bits in every order, unless it lacks a barrier") {
  CHECK(same_bits(in_every_order<reverse<Barrier::yes>>(64, sizeof(Row))));
  if (emulator::thread_sanitizer) return;  // which does not let the wrong one end
  CHECK_FALSE(same_bits(in_every_order<reverse<Barrier::no>>(64, sizeof(Row))));
}

__global__ void beyond_the_end() { shared_memory<Row>().value[threadIdx.x + 8] = 0; }

TEST_CASE("a write just beyond shared memory is found without AddressSanitizer") {
  if (emulator::address_sanitizer) return;  // tests/emulator/out_of_bounds.cpp
  CHECK_THROWS_WITH(launch<beyond_the_end>(Grid{1, 64, sizeof(Row)}),
                    Contains("beyond_the_end, block (0, 0, 0) wrote to byte 256 of 256 bytes of shared memory"));
}

TEST_CASE("shared memory that the launch did not give is refused") {
  std::vector<float> out(64);
  CHECK_THROWS_WITH(launch<reverse<Barrier::yes>>(Grid{1, 64, sizeof(Row) - 4}, out.data()),
                    Contains("takes 256 bytes of shared memory, but its launch gave 252"));
}

// ---- Vectors

template <class E, int N> __global__ void scale(E* y, const E* x, std::int64_t n, float factor) {
  for (std::int64_t i = global_thread() * N; i < n; i += global_threads() * N) {
    auto v = to_float(load_vec<N>(x + i));
    for (int k = 0; k < N; ++k) v[k] *= factor;
    store_vec(y + i, from_float<E>(v));
  }
}

template <class E, int N> void scales() {
  std::vector<E> x(1024), y(1024);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = E(static_cast<float>(i) * 0.37f - 100);
  launch<scale<E, N>>(Grid{3, 64}, y.data(), x.data(), std::int64_t{1024}, 1.7f);
  for (std::size_t i = 0; i < x.size(); ++i)
    CHECK(static_cast<float>(y[i]) == static_cast<float>(E(static_cast<float>(x[i]) * 1.7f)));
}

TEST_CASE("vectors of floats and of bfloat16 are loaded, computed in float, and stored") {
  scales<float, 1>();
  scales<float, 4>();
  scales<float, 8>();
  scales<bfloat16, 1>();
  scales<bfloat16, 2>();
  scales<bfloat16, 8>();
  STATIC_REQUIRE(per_vec<float> == 4);
  STATIC_REQUIRE(per_vec<bfloat16> == 8);
  STATIC_REQUIRE(alignof(Vec<float, 8>) == 16);
  STATIC_REQUIRE(alignof(Vec<bfloat16, 2>) == 4);
}

TEST_CASE("a vector at an address that is no multiple of its size is refused") {
  alignas(16) float x[16] = {};
  CHECK_THROWS_WITH((launch<scale<float, 4>>(Grid{1, 1}, x, x + 1, std::int64_t{4}, 1.0f)),
                    Contains("thread 0 accesses as a vector an address that is not a multiple of 16"));
}

__global__ void pack(std::uint32_t* packed, float* low, float* high, const float* x) {
  const auto t = threadIdx.x;
  packed[t] = pack_bf16x2(x[2 * t], x[2 * t + 1]);
  low[t] = low_bf16(packed[t]);
  high[t] = high_bf16(packed[t]);
}

TEST_CASE("a packed pair holds the first number in its lower half") {
  const std::vector<float> x{1.0f, -2.0f, 3.1415927f, 1e-3f, INFINITY, -0.0f};
  std::vector<std::uint32_t> packed(3);
  std::vector<float> low(3), high(3);
  launch<pack>(Grid{1, 3}, packed.data(), low.data(), high.data(), x.data());
  CHECK(packed[0] == 0xC000'3F80u);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(low[i] == static_cast<float>(bfloat16(x[2 * i])));
    CHECK(high[i] == static_cast<float>(bfloat16(x[2 * i + 1])));
  }
}

// ---- Asynchronous copies

struct Tiles {
  alignas(16) float tile[2][32 * 4];
};

enum class Wait { for_all, for_one_group, not_at_all };

/// Two tiles, a group each. Every thread reads what it has copied itself, so no barrier is needed.
template <Wait wait> __global__ void copy_tiles(float* out, const float* x) {
  auto& shared = shared_memory<Tiles>();
  const auto at = threadIdx.x * 4;
  for (int i = 0; i < 2; ++i) {
    cp_async_16(&shared.tile[i][at], x + i * 128 + at, threadIdx.x != 5);
    cp_async_commit();
  }
  if (wait == Wait::for_all) cp_async_wait<0>();
  if (wait == Wait::for_one_group) cp_async_wait<1>();
  for (unsigned k = 0; k < 4; ++k) {
    out[at + k] = shared.tile[0][at + k];
    out[128 + at + k] = shared.tile[1][at + k];
  }
  cp_async_wait<0>();
}

TEST_CASE("an asynchronous copy arrives when its thread waits for its group, and not before") {
  alignas(16) float x[256], out[256];
  for (int i = 0; i < 256; ++i) x[i] = static_cast<float>(i);
  const auto check = [&](int first_tile, int second_tile) {
    for (int i = 0; i < 256; ++i) {
      const float wanted = i / 4 % 32 == 5 ? 0.0f : x[i];
      if ((i < 128 ? first_tile : second_tile) != 0) {
        CHECK(out[i] == wanted);
      } else {
        CHECK(std::isnan(out[i]));
      }
    }
  };
  launch<copy_tiles<Wait::for_all>>(Grid{1, 32, sizeof(Tiles)}, out, x);
  check(1, 1);
  launch<copy_tiles<Wait::for_one_group>>(Grid{1, 32, sizeof(Tiles)}, out, x);
  check(1, 0);
  launch<copy_tiles<Wait::not_at_all>>(Grid{1, 32, sizeof(Tiles)}, out, x);
  check(0, 0);
}

__global__ void copy_into_what_is_still_read(float* out, const float* x) {
  auto& shared = shared_memory<Tiles>();
  const auto t = threadIdx.x;
  for (unsigned k = 0; k < 4; ++k) shared.tile[0][t * 4 + k] = 1;
  __syncthreads();
  out[t] = shared.tile[0][(t ^ 1) * 4];
  cp_async_16(&shared.tile[0][t * 4], x + t * 4);  // a barrier is missing before this line
  cp_async_commit();
  cp_async_wait<0>();
}

TEST_CASE("a copy that begins while others still read its target spoils what they read") {
  if (emulator::thread_sanitizer) return;  // which does not let it end
  alignas(16) float x[128] = {};
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    std::vector<float> out(32);
    launch<copy_into_what_is_still_read>(Grid{1, 32, sizeof(Tiles)}, out.data(), x);
    CHECK(std::count(out.begin(), out.end(), 1.0f) == 16);
  }
}

__global__ void forgets_its_copies(const float* x) {
  cp_async_16(&shared_memory<Tiles>().tile[0][threadIdx.x * 4], x + threadIdx.x * 4);
  cp_async_commit();
}

__global__ void copies_to(void* to, const float* x) { cp_async_16(to, x); }

__global__ void copies_from_shared() {
  auto& shared = shared_memory<Tiles>();
  cp_async_16(shared.tile[0], shared.tile[1]);
}

__global__ void copies_askew(const float* x) { cp_async_16(&shared_memory<Tiles>().tile[0][1], x); }

TEST_CASE("a copy that is forgotten, or goes where none can, is refused") {
  alignas(16) float x[128] = {};
  const Grid grid{1, 32, sizeof(Tiles)};
  CHECK_THROWS_WITH(launch<forgets_its_copies>(grid, x), Contains("before it has waited for its asynchronous copies"));
  CHECK_THROWS_WITH(launch<copies_to>(grid, x, x), Contains("outside the block's 1024 bytes of shared memory"));
  CHECK_THROWS_WITH(launch<copies_from_shared>(grid), Contains("from shared memory: it copies from global memory"));
  CHECK_THROWS_WITH(launch<copies_askew>(grid, x), Contains("not a multiple of 16"));
}

// ---- Atomics

template <class E> __global__ void add_up(E* sum, E* largest, E* compared) {
  const E mine = static_cast<E>(global_thread());
  atomicAdd(sum, mine);
  if constexpr (std::is_integral_v<E>) {
    atomicMax(largest, mine);
    E seen = 0;
    for (E found; (found = atomicCAS(compared, seen, seen + 3)) != seen;) seen = found;
  }
}

template <class E> void adds_up() {
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    E sum = 0, largest = 0, compared = 0;
    launch<add_up<E>>(Grid{4, 64}, &sum, &largest, &compared);
    CHECK(sum == E(255 * 256 / 2));
    if constexpr (std::is_integral_v<E>) {
      CHECK(largest == E(255));
      CHECK(compared == E(3 * 256));
    }
  }
}

TEST_CASE("atomic operations of all threads of a grid add up") {
  adds_up<float>();
  adds_up<double>();
  adds_up<int>();
  adds_up<unsigned>();
  adds_up<unsigned long long>();
}

struct LastBlockShared {
  BlockReduce<64, float> sum;
  bool last;
};

__global__ void last_block_adds(float* total, float* partial, unsigned* arrived) {
  auto& shared = shared_memory<LastBlockShared>();
  const float sum = block_sum(1.0f, shared.sum);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    shared.last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (shared.last && threadIdx.x == 0) {
    float all = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) all += partial[b];
    *total = all;
  }
}

TEST_CASE("the last block to arrive sees what the others have written") {
  unsigned arrived = 0;
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    float total = 0;
    std::vector<float> partial(5);
    launch<last_block_adds>(Grid{5, 64, sizeof(LastBlockShared)}, &total, partial.data(), &arrived);
    CHECK(total == 5 * 64);
    CHECK(arrived == 0);
  }
}

}  // namespace

// Memory, copies and recordings of the gpu backend.
#include <on_device.hpp>

#include <catch.hpp>
#include <numeric>
#include <tinygpt/gpu/launch.cuh>
#include <tinygpt/gpu/transfer.cuh>
#include <tinygpt/ops/deferred.hpp>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

/// to = from + number, read when it runs.
__global__ void add_deferred(int* to, const int* from, Deferred<int> number) { *to = *from + number(); }

std::vector<int> numbers(std::size_t n, int first) {
  std::vector<int> x(n);
  std::iota(x.begin(), x.end(), first);
  return x;
}

template <class N> std::vector<N> out(gpu::Context<float>& ctx, const N* from, std::size_t n) {
  std::vector<N> x(n);
  gpu::copy_out(ctx, std::span<N>(x), from);
  return x;
}

}  // namespace

TEST_CASE("Allocated memory is zero, begins at a multiple of 256 and may be moved", "[gpu]") {
  gpu::Context<float> ctx;
  gpu::DeviceMemory memory = gpu::allocate(ctx, 1000);
  CHECK(memory.size() == 1000);
  CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % 256 == 0);
  const std::byte* const at = memory.data();
  const gpu::DeviceMemory moved = std::move(memory);
  CHECK(moved.data() == at);
  CHECK(out(ctx, reinterpret_cast<const int*>(moved.data()), 250) == std::vector<int>(250, 0));
}

TEST_CASE("More memory than there is, is one sentence with both numbers", "[gpu]") {
  gpu::Context<float> ctx;
  CHECK_THROWS_WITH(
      gpu::allocate(ctx, std::int64_t{1} << 50),
      Catch::Matchers::StartsWith("the GPU has ") && Catch::Matchers::Contains("1073741824 MiB are wanted"));
  CHECK(gpu::allocate(ctx, 64).size() == 64);  // and the context is as good as before
}

TEST_CASE("What was copied in is what comes out, from one number to more than the ring holds", "[gpu]") {
  gpu::Context<float> ctx;
  constexpr std::size_t ring = gpu::Staging::blocks * gpu::Staging::block_bytes / sizeof(int);
  for (std::size_t n : {std::size_t{1}, std::size_t{5}, std::size_t{100'003}, ring / 4, ring / 4 + 1, 3 * ring + 7}) {
    const gpu::DeviceMemory memory = gpu::allocate(ctx, static_cast<std::int64_t>(n * sizeof(int)));
    auto* const to = reinterpret_cast<int*>(const_cast<std::byte*>(memory.data()));
    gpu::copy_in(ctx, to, std::span<const int>(numbers(n, 3)));
    const bool same = out(ctx, to, n) == numbers(n, 3);  // millions of them would not be read when printed
    CHECK(same);
  }
}

TEST_CASE("The host's numbers are free again when copy_in returns, and copies keep their order", "[gpu]") {
  gpu::Context<float> ctx;
  gpu::DeviceMemory memory = gpu::allocate(ctx, 8);
  gpu::DeviceMemory sums = gpu::allocate(ctx, 1000 * sizeof(int));
  auto* const place = reinterpret_cast<int*>(memory.data());
  auto* const all = reinterpret_cast<int*>(sums.data());
  std::vector<int> expected;
  int number = 0;
  for (int i = 0; i < 1000; ++i) {
    number = 7 * i;
    gpu::copy_in(ctx, place, std::span<const int>(&number, 1));
    number = -1;
    gpu::launch<add_deferred>(gpu::Grid{1, 32, 0, ctx.stream()}, all + i, place, Deferred<int>(i));
    expected.push_back(8 * i);
  }
  CHECK(out(ctx, all, 1000) == expected);
}

TEST_CASE("A copy that goes ahead does not overtake what was to read there before", "[gpu]") {
  gpu::Context<float> ctx;
  constexpr std::size_t n = 1000;  // more than go to their place directly
  gpu::DeviceMemory memory = gpu::allocate(ctx, n * sizeof(int)), results = gpu::allocate(ctx, 50 * sizeof(int));
  auto* const place = reinterpret_cast<int*>(memory.data());
  auto* const all = reinterpret_cast<int*>(results.data());
  std::vector<int> expected;
  for (int i = 0; i < 50; ++i) {
    gpu::copy_in(ctx, place, std::span<const int>(numbers(n, 10 * i)));
    gpu::launch<add_deferred>(gpu::Grid{1, 32, 0, ctx.stream()}, all + i, place + n - 1, Deferred<int>(i));
    expected.push_back(11 * i + static_cast<int>(n) - 1);
  }
  CHECK(out(ctx, all, 50) == expected);
}

TEST_CASE("What is copied out later is the number of its day, whenever it is asked for", "[gpu]") {
  gpu::Context<float> ctx;
  gpu::DeviceMemory memory = gpu::allocate(ctx, 2 * sizeof(int));
  auto* const place = reinterpret_cast<int*>(memory.data());
  gpu::Later<int> first, second;
  for (int i = 0; i < 3; ++i) {
    for (gpu::Later<int>* later : {&first, &second}) {
      const int number = later == &first ? 10 * i : 10 * i + 5;
      gpu::copy_in(ctx, place, std::span<const int>(&number, 1));
      gpu::launch<add_deferred>(gpu::Grid{1, 32, 0, ctx.stream()}, place + 1, place, Deferred<int>(1));
      gpu::copy_out_later(ctx, *later, place + 1);
    }
    CHECK(first.get() == 10 * i + 1);
    CHECK(second.get() == 10 * i + 6);
    CHECK(second.get() == 10 * i + 6);
  }
  {
    gpu::Later<int> nobody_asks;
    gpu::copy_out_later(ctx, nobody_asks, place);
  }
  CHECK(out(ctx, place + 1, 1) == std::vector<int>{26});
}

TEST_CASE("A recording repeats the operations with the numbers of the day, and calls them twice only", "[gpu]") {
  gpu::Context<float> ctx;
  gpu::Recording recording;
  gpu::DeviceMemory memory = gpu::allocate(ctx, 3 * sizeof(int));
  auto* const place = reinterpret_cast<int*>(memory.data());
  int calls = 0;
  for (int i = 0; i < 6; ++i) {
    const std::vector<int> today{10 * i, i};
    gpu::copy_in(ctx, place, std::span<const int>(today));
    gpu::replay(ctx, recording, [&] {
      ++calls;
      gpu::launch<add_deferred>(gpu::Grid{1, 32, 0, ctx.stream()}, place + 2, place, Deferred<int>(100, place + 1));
    });
    CHECK(out(ctx, place + 2, 1) == std::vector<int>{11 * i + 100});
  }
  CHECK(calls == 2);
}

TEST_CASE("Scratch that has moved is found by recordings from before", "[gpu]") {
  gpu::Context<float> ctx;
  gpu::Recording recording;
  gpu::DeviceMemory memory = gpu::allocate(ctx, 2 * sizeof(int));
  auto* const place = reinterpret_cast<int*>(memory.data());
  gpu::copy_in(ctx, place, std::span<const int>(numbers(1, 5)));
  int calls = 0;
  const auto through_scratch = [&] {
    ++calls;
    auto* const scratch = static_cast<int*>(ctx.scratch(sizeof(int)));
    gpu::launch<add_deferred>(gpu::Grid{1, 32, 0, ctx.stream()}, scratch, place, Deferred<int>(1));
    gpu::launch<add_deferred>(gpu::Grid{1, 32, 0, ctx.stream()}, place + 1, scratch, Deferred<int>(1));
  };
  ctx.reserve_scratch(256);
  for (int i = 0; i < 3; ++i) gpu::replay(ctx, recording, through_scratch);
  CHECK(calls == 2);
  ctx.reserve_scratch(1 << 20);
  for (int i = 0; i < 3; ++i) gpu::replay(ctx, recording, through_scratch);
  CHECK(calls == 4);
  CHECK(out(ctx, place + 1, 1) == std::vector<int>{7});
  CHECK_THROWS_WITH(ctx.scratch((1 << 20) + 1), Catch::Matchers::Contains("call reserve_scratch before"));
}

TEST_CASE("What cannot be recorded is one sentence, and the context goes on", "[gpu]") {
  gpu::Context<float> ctx;
  gpu::DeviceMemory memory = gpu::allocate(ctx, sizeof(int));
  auto* const place = reinterpret_cast<int*>(memory.data());
  const int number = 9;
  SECTION("a copy from the host") {
    gpu::Recording recording;
    const auto copies = [&] { gpu::copy_in(ctx, place, std::span<const int>(&number, 1)); };
    gpu::replay(ctx, recording, copies);
    CHECK_THROWS_WITH(gpu::replay(ctx, recording, copies), Catch::Matchers::StartsWith("copy_in was called within"));
  }
  SECTION("waiting for the GPU") {
    gpu::Recording recording;
    const auto waits = [&] { out(ctx, place, 1); };
    gpu::replay(ctx, recording, waits);
    CHECK_THROWS_WITH(gpu::replay(ctx, recording, waits), Catch::Matchers::StartsWith("CUDA failed in"));
  }
  SECTION("operations that throw") {
    gpu::Recording recording;
    int calls = 0;
    const auto throws = [&] {
      if (++calls == 2) throw Error("the sentence of an operation");
    };
    gpu::replay(ctx, recording, throws);
    CHECK_THROWS_WITH(gpu::replay(ctx, recording, throws), "the sentence of an operation");
    gpu::replay(ctx, recording, throws);
    CHECK(calls == 3);
  }
  gpu::copy_in(ctx, place, std::span<const int>(&number, 1));
  CHECK(out(ctx, place, 1) == std::vector<int>{9});
}

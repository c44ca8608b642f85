// Views: extents, conversion to reading, null views.
#include <vector>

#include <tinygpt/layout/tensor.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

using Tokens = Tensor<float, Batch<dyn>, Time<dyn>, Embd<768>>;

// Small enough to pass in registers: a pointer and two ints, and fixed extents cost nothing.
static_assert(sizeof(Tokens) == sizeof(float*) + 2 * sizeof(int));
static_assert(Tokens::rank == 3 && Tokens::dynamic == 2);

// From writing to reading, and neither back nor to another shape.
static_assert(std::is_convertible_v<Tokens, Tensor<const float, Batch<dyn>, Time<dyn>, Embd<768>>>);
static_assert(!std::is_convertible_v<Tensor<const float, Batch<dyn>, Time<dyn>, Embd<768>>, Tokens>);
static_assert(!std::is_convertible_v<Tokens, Tensor<const float, Batch<dyn>, Time<dyn>, Embd<770>>>);
static_assert(!std::is_convertible_v<Tensor<float, Embd<8>>, Tensor<float, Ffn<8>>>);
static_assert(!std::is_convertible_v<float*, Tensor<float, Embd<8>>>);

TEST_CASE("a view knows its extents by number and by name") {
  std::vector<float> memory(2 * 3 * 768);
  const Tokens x(memory.data(), 2, 3);
  CHECK(x.extent(0) == 2);
  CHECK(x.extent(1) == 3);
  CHECK(x.extent(2) == 768);
  CHECK(x.extent<Batch>() == 2);
  CHECK(x.extent<Time>() == 3);
  CHECK(x.extent<Embd>() == 768);
  CHECK(x.size() == 2 * 3 * 768);
  CHECK(x.rows() == 6);
  CHECK(x.width() == 768);
}

TEST_CASE("dynamic extents keep their order around fixed ones") {
  int memory[1] = {};
  const Tensor<int, Time<dyn>, Embd<5>, Batch<dyn>> x(memory, 7, 9);
  CHECK(x.extent(0) == 7);
  CHECK(x.extent(1) == 5);
  CHECK(x.extent(2) == 9);
  CHECK(x.extent<Batch>() == 9);
  CHECK(x.width() == 9);
  CHECK(x.rows() == 35);
}

TEST_CASE("sizes beyond 2^31 elements do not overflow") {
  const Tensor<char, Batch<dyn>, Time<dyn>, Vocab<50304>> x(nullptr, 64, 1024);
  CHECK(x.size() == std::int64_t{64} * 1024 * 50304);
}

TEST_CASE("a view for reading sees the same memory and extents") {
  float memory[24] = {};
  const Tensor<float, Batch<dyn>, Time<dyn>, Embd<4>> x(memory, 2, 3);
  const auto r = read(x);
  CHECK(r.data() == memory);
  CHECK(r.dynamic_extents() == x.dynamic_extents());
  memory[5] = 7;
  CHECK(r.data()[5] == 7);
}

TEST_CASE("a view of nothing is false") {
  CHECK_FALSE(Tokens{});
  float one = 0;
  CHECK(Tensor<float, Embd<1>>(&one));
}

}  // namespace

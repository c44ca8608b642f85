// Dropout's masks: their rate, and what they depend on.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <tinygpt/reference/embedding.hpp>
#include <tinygpt/train/step.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

// The generator agrees with the known answers that come with Random123 1.14 (kat_vectors, philox4x32 of 7 rounds).
static_assert(philox4x32({0, 0, 0, 0}, {0, 0}) ==
              std::array<std::uint32_t, 4>{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48});
static_assert(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
              std::array<std::uint32_t, 4>{0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662});

// The order of a group's elements, which every backend must share: of the words above, the low halves b709, 3f64, 1f81,
// 0a48 are the even elements, the high halves 5f6f, 0d89, 4f12, 4f73 the odd ones; those below 2000 (hex) are dropped.
constexpr std::array<bool, 8> first_group = [] {
  std::array<bool, 8> kept{};
  for (int i = 0; i < 8; ++i) kept[static_cast<std::size_t>(i)] = Dropout{0x2000}.keeps(0, i, 8);
  return kept;
}();
static_assert(first_group == std::array<bool, 8>{true, true, true, false, false, true, false, true});

// A row of 9 takes two groups, so the next one begins where the third row of 8 does.
static_assert([] {
  for (int i = 0; i < 8; ++i) {
    if (Dropout{0x8000}.keeps(1, i, 9) != Dropout{0x8000}.keeps(2, i, 8)) return false;
  }
  return Dropout{0x8000}.keeps(0, 8, 9) == Dropout{0x8000}.keeps(1, 0, 8);
}());

constexpr std::int64_t rows = 1000, width = 1003;

/// Share of dropped elements of a mask of rows x width.
double dropped(const Dropout& dropout) {
  std::int64_t n = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < width; ++c) n += !dropout.keeps(r, c, width);
  }
  return static_cast<double>(n) / (rows * width);
}

TEST_CASE("a mask drops the asked share of its elements") {
  for (double rate : {0.0, 0.1, 0.2, 0.5, 0.9}) {
    const Dropout dropout = DropoutPlan::at_rate(rate, 1337, 5, 64).attention(2);
    // Five standard deviations of a mean of a million draws, and half of the step of 1/65536 to which rates are rounded.
    const double bound = 5 * std::sqrt(rate * (1 - rate) / (rows * width)) + 0.5 / 65536;
    CHECK(std::abs(dropped(dropout) - rate) <= bound);
  }
}

TEST_CASE("what is kept is scaled so that the expectation stays") {
  for (std::uint32_t threshold : {0u, 1u, 6554u, 13107u, 32768u, 65535u}) {
    const Dropout dropout{threshold};
    const double kept = 1 - threshold / 65536.0;
    // The scale is a float: one rounding of 2^-24, and one more in the division.
    CHECK(std::abs(dropout.scale() * kept - 1) <= 2 * std::ldexp(1, -24));
  }
  CHECK_FALSE(Dropout{});
  CHECK(Dropout{}.scale() == 1.0f);
}

TEST_CASE("masks of other seeds, steps, sites and rows have nothing in common") {
  const Dropout base = DropoutPlan::at_rate(0.5, 1, 1, 64).attention_branch(0);
  const auto other = [&](auto change) {
    Dropout d = base;
    change(d);
    return d;
  };
  const Dropout others[] = {other([](Dropout& d) { d.seed = 2; }), other([](Dropout& d) { d.seed += 1ull << 32; }),
                            other([](Dropout& d) { d.step = 2; }), other([](Dropout& d) { d.step.number += 1ull << 32; }),
                            other([](Dropout& d) { d.site += 1; })};
  // Equal elements of two fair independent masks: half, within five standard deviations.
  const double bound = 5 * std::sqrt(0.25 / (rows * width));
  const auto agreement = [](const Dropout& a, std::int64_t shift, const Dropout& b) {
    std::int64_t n = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < width; ++c) n += a.keeps(r + shift, c, width) == b.keeps(r, c, width);
    }
    return static_cast<double>(n) / (rows * width);
  };
  for (const Dropout& o : others) CHECK(std::abs(agreement(base, 0, o) - 0.5) <= bound);
  CHECK(std::abs(agreement(base, 1, base) - 0.5) <= bound);
}

TEST_CASE("every use of dropout within a step has its own site") {
  const DropoutPlan plan = DropoutPlan::at_rate(0.1, 1, 1, 64);
  std::vector<std::uint32_t> sites{plan.embedding().site};
  for (int l = 0; l < 50; ++l) {
    for (const Dropout& d : {plan.attention(l), plan.attention_branch(l), plan.feed_forward_branch(l)}) sites.push_back(d.site);
  }
  std::sort(sites.begin(), sites.end());
  CHECK(std::adjacent_find(sites.begin(), sites.end()) == sites.end());
  CHECK(sites.back() < 1u << 20);
}

TEST_CASE("a mask does not depend on the length of the batch") {
  constexpr int C = 19, long_time = 7, short_time = 4, batch = 3;
  const std::vector<double> table(2 * C, 1.0);
  const std::vector<std::int32_t> ids(batch * long_time, 1);
  const Dropout dropout = DropoutPlan::at_rate(0.3, 1, 1, 16).embedding();
  const auto embed = [&](int time) {
    std::vector<double> y(static_cast<std::size_t>(batch * time * C));
    reference::Context<double> ctx;
    reference::embed(ctx, Tensor<double, Batch<dyn>, Time<dyn>, Embd<C>>(y.data(), batch, time),
                     TokenIds(ids.data(), batch, time), Tensor<const double, Vocab<2>, Embd<C>>(table.data()),
                     Tensor<const double, Ctx<16>, Embd<C>>{}, 0, dropout);
    return y;
  };
  const std::vector<double> longer = embed(long_time), shorter = embed(short_time);
  for (int b = 0; b < batch; ++b) {
    for (int i = 0; i < short_time * C; ++i) {
      REQUIRE(shorter[static_cast<std::size_t>(b * short_time * C + i)] ==
              longer[static_cast<std::size_t>(b * long_time * C + i)]);
    }
  }
}

}  // namespace

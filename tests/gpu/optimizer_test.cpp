// gpu/optimizer.cuh and gpu/elementwise.cuh against the reference, over arenas of every remainder.
#include <cstring>
#include <limits>

#include <catch.hpp>
#include <tinygpt/gpu/elementwise.cuh>
#include <tinygpt/gpu/optimizer.cuh>
#include <tinygpt/reference/optimizer.hpp>

#include "on_device.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

/// Sizes of arenas: every remainder of a vector, of a block, and what takes many blocks.
std::vector<std::size_t> sizes() {
  std::vector<std::size_t> n = {1, 2, 3, 4, 5, 7, 8, 31, 127, 1023, 1024, 1025, 1026, 4099, 8191, 8192, 20'001};
  for (int i = 0; i < test::shapes() / 3; ++i) {
    n.push_back(
        static_cast<std::size_t>(1 + whole(1, emulated() ? 30'000 : 30'000'000, 7u + static_cast<unsigned>(i))[0]));
  }
  return n;
}

template <class N> std::span<N> span_of(const OnDevice<N>& x) { return {x.data(), x.size()}; }

template <class E> void updates_are_the_references(std::size_t n, unsigned seed) {
  INFO(n << " parameters");
  gpu::Context<E> ctx;
  reference::Context<double> exact;
  ctx.reserve_scratch(std::max(gpu::global_norm_scratch(static_cast<std::int64_t>(n)), gpu::adamw_scratch()));
  constexpr bool own = std::is_same_v<E, float>;
  Twin<float> masters(normal(n, seed)), m(normal(n, seed + 1, 0.1)), v{std::vector<double>(n)},
      gradients(normal(n, seed + 2));
  const OnDevice<E> weights(std::vector<E>(n, E{}));
  const OnDevice<double> norm(std::vector<double>{-1});
  const OnDevice<float> loss(std::vector<float>{2.5f});
  AdamW hyper{.learning_rate = 3e-3, .beta2 = 0.999, .grad_clip = seed % 2 == 0 ? 1.0 : 0.0};
  hyper.decay_end = static_cast<std::int64_t>(n / 2);
  double exact_norm = 0;
  const double exact_loss = 2.5;
  const auto exact_span = [n](Twin<float>& t) { return std::span<double>(t.exact(), n); };

  const OnDevice<AdamW> now(std::vector<AdamW>{hyper});
  const OnDevice<std::int64_t> updates(std::vector<std::int64_t>{4});
  std::int64_t exact_updates = 4;
  for (int i = 0; i < 3; ++i) {
    gpu::global_norm(ctx, norm.data(), std::span<float>(gradients.gpu(), n));
    reference::global_norm(exact, &exact_norm, exact_span(gradients));
    CHECK(std::abs(norm.host()[0] - exact_norm) <= 1e-6 * exact_norm);
    if constexpr (own) {
      gpu::adamw(ctx, std::span<float>(masters.gpu(), n), {}, std::span<float>(m.gpu(), n),
                 std::span<float>(v.gpu(), n), updates.data(), std::span<float>(gradients.gpu(), n), loss.data(),
                 norm.data(), now.data());
    } else {
      gpu::adamw(ctx, span_of(weights), std::span<float>(masters.gpu(), n), std::span<float>(m.gpu(), n),
                 std::span<float>(v.gpu(), n), updates.data(), std::span<float>(gradients.gpu(), n), loss.data(),
                 norm.data(), now.data());
    }
    reference::adamw(exact, exact_span(masters), {}, exact_span(m), exact_span(v), &exact_updates,
                     exact_span(gradients), &exact_loss, &exact_norm, &hyper);
    CHECK(updates.host()[0] == exact_updates);
    CHECK(masters.error() <= tolerance<float>(1));
    CHECK(m.error() <= tolerance<float>(1));
    CHECK(v.error() <= tolerance<float>(1));
    if constexpr (!own) {
      const std::vector<E> rounded = as<E>(masters.from_gpu()), actual = weights.host();
      CHECK(std::memcmp(rounded.data(), actual.data(), n * sizeof(E)) == 0);
    }
  }
}

}  // namespace

TEST_CASE("the global norm and AdamW on a GPU are the reference's, weights in float") {
  unsigned seed = 50;
  for (const std::size_t n : sizes()) updates_are_the_references<float>(n, seed++);
}
TEST_CASE("the global norm and AdamW on a GPU are the reference's, weights in bfloat16") {
  unsigned seed = 90;
  for (const std::size_t n : sizes()) updates_are_the_references<bfloat16>(n, seed++);
}

TEST_CASE("a loss or a gradient that is not finite changes nothing") {
  constexpr std::size_t n = 1027;
  gpu::Context<bfloat16> ctx;
  ctx.reserve_scratch(std::max(gpu::global_norm_scratch(n), gpu::adamw_scratch()));
  const auto inf = std::numeric_limits<double>::infinity();
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [bad_loss, bad_gradient] : {std::pair{nan, 1.0}, {inf, 1.0}, {1.0, nan}, {1.0, -inf}}) {
    std::vector<double> g = normal(n, 3);
    g[n - 1] = bad_gradient;
    const OnDevice<float> gradients(as<float>(g)), masters(as<float>(normal(n, 4))), m(as<float>(normal(n, 5))),
        v(std::vector<float>(n, 1.0f)), loss(std::vector<float>{static_cast<float>(bad_loss)});
    const OnDevice<bfloat16> weights(as<bfloat16>(normal(n, 6)));
    const OnDevice<double> norm(std::vector<double>{0});
    const OnDevice<AdamW> hyper(std::vector<AdamW>{AdamW{}});
    const OnDevice<std::int64_t> updates(std::vector<std::int64_t>{7});
    gpu::global_norm(ctx, norm.data(), span_of(gradients));
    gpu::adamw(ctx, span_of(weights), span_of(masters), span_of(m), span_of(v), updates.data(), span_of(gradients),
               loss.data(), norm.data(), hyper.data());
    CHECK(updates.host()[0] == 7);
    CHECK(masters.host() == as<float>(normal(n, 4)));
    CHECK(m.host() == as<float>(normal(n, 5)));
    CHECK(v.host() == std::vector<float>(n, 1.0f));
    CHECK(as<double>(weights.host()) == as<double>(as<bfloat16>(normal(n, 6))));
  }
}

TEST_CASE("conversion on a GPU rounds to nearest even, and fill_zero fills what it is given and no more") {
  for (const std::size_t n : sizes()) {
    INFO(n << " numbers");
    gpu::Context<bfloat16> ctx;
    gpu::Context<float> wide;
    std::vector<float> numbers = as<float>(normal(n, static_cast<unsigned>(n)));
    numbers[0] = 1.00390625f;  // half way between two bfloat16, the lower one even
    const OnDevice<float> from(numbers), copy(std::vector<float>(n, 5.0f));
    const OnDevice<bfloat16> to(std::vector<bfloat16>(n, bfloat16(5.0f)));
    gpu::convert(ctx, span_of(to), span_of(from));
    gpu::convert(wide, span_of(copy), span_of(from));
    CHECK(as<float>(to.host()) == as<float>(as<bfloat16>(numbers)));
    CHECK(copy.host() == numbers);
    gpu::fill_zero(ctx, {to.data() + 1, n - 1});
    gpu::fill_zero(ctx, {copy.data() + 1, n - 1});
    CHECK(as<double>(to.host())[0] == 1.0);
    CHECK(copy.host()[0] == numbers[0]);
    CHECK(norm2(as<double>(to.host())) == 1.0);
    CHECK(norm2(as<double>(copy.host())) == Approx(numbers[0]).epsilon(1e-15));
  }
}

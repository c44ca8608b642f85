// gpu/embedding.cuh against the reference: tokens that are rare, frequent or all the same, and the order they are
// summed in.
#include <algorithm>
#include <numeric>

#include <catch.hpp>
#include <tinygpt/gpu/embedding.cuh>
#include <tinygpt/reference/embedding.hpp>

#include "on_device.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

/// How often tokens occur.
enum class Spread { even, skewed, one_token };

std::vector<std::int32_t> tokens_of(std::size_t n, int vocabulary, Spread spread, unsigned seed) {
  std::vector<std::int32_t> tokens = whole(n, vocabulary, seed);
  const std::vector<std::int32_t> coins = whole(n, 4, seed + 1);
  for (std::size_t i = 0; i < n; ++i) {
    if (spread == Spread::one_token || (spread == Spread::skewed && coins[i] != 0)) tokens[i] = vocabulary - 1;
  }
  return tokens;
}

template <int V> void order_is_stable(std::size_t n, Spread spread) {
  INFO(n << " tokens of " << V);
  gpu::Context<float> ctx;
  ctx.reserve_scratch(gpu::token_order_scratch(static_cast<std::int64_t>(n), V));
  const std::vector<std::int32_t> tokens = tokens_of(n, V, spread, 11);
  const OnDevice<std::int32_t> on_device(tokens);
  std::vector<std::int32_t> expected(n), actual(n);
  std::iota(expected.begin(), expected.end(), 0);
  std::stable_sort(expected.begin(), expected.end(), [&](std::int32_t a, std::int32_t b) {
    return tokens[static_cast<std::size_t>(a)] < tokens[static_cast<std::size_t>(b)];
  });
  const std::int32_t* order = gpu::token_order<V>(ctx, ctx.scratch(1), on_device.data(), static_cast<std::int64_t>(n));
  gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  gpu::check(cudaMemcpy(actual.data(), order, n * sizeof(std::int32_t), cudaMemcpyDeviceToHost), "cudaMemcpy");
  CHECK(actual == expected);
}

template <class E, int V, int C>
void compare(int batch, int time, Spread spread, bool positions, bool dropped, unsigned seed) {
  constexpr int N = 64;
  gpu::Context<E> ctx;
  reference::Context<double> exact;
  const auto n = static_cast<std::size_t>(batch * time);
  ctx.reserve_scratch(gpu::embed_backward_scratch(batch * time, V, C));
  INFO("C = " << C << ", B = " << batch << ", T = " << time << ", spread " << static_cast<int>(spread) << ", positions "
              << positions << ", dropout " << dropped);
  const std::vector<std::int32_t> tokens = tokens_of(n, V, spread, seed);
  std::vector<int> begins;  // each sequence begins elsewhere
  for (int b = 0; b < batch; ++b) begins.push_back(time + 3 <= N ? (3 + b) % 4 : 0);
  const OnDevice<std::int32_t> on_device(tokens), first(begins);
  const TokenIds ids(on_device.data(), batch, time), exact_ids(tokens.data(), batch, time);
  const OnDevice<std::uint64_t> step(std::vector<std::uint64_t>{40});
  const Dropout dropout = {dropped ? 13'000u : 0u, 0, 77, {2, step.data()}, N};
  const Dropout exact_dropout = {dropped ? 13'000u : 0u, 0, 77, 42, N};
  Twin<E> word(normal(V * C, seed)), position = positions ? Twin<E>(normal(N * C, seed + 1)) : Twin<E>{},
                                     residual(normal(n * C, seed + 2)), d_residual(normal(n * C, seed + 3));
  Twin<float> d_word(normal(V * C, seed + 4)),
      d_position = positions ? Twin<float>(normal(N * C, seed + 5)) : Twin<float>{};
  using Rows = Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>>;
  using ExactRows = Tensor<double, Batch<dyn>, Time<dyn>, Embd<C>>;

  gpu::embed(ctx, Rows(residual.gpu(), batch, time), ids, Tensor<const E, Vocab<V>, Embd<C>>(word.gpu()),
             Tensor<const E, Ctx<N>, Embd<C>>(position.gpu()), FirstPosition(first.data()), dropout);
  reference::embed(
      exact, ExactRows(residual.exact(), batch, time), exact_ids, Tensor<const double, Vocab<V>, Embd<C>>(word.exact()),
      Tensor<const double, Ctx<N>, Embd<C>>(position.exact()), FirstPosition(begins.data()), exact_dropout);
  CHECK(residual.error() <= tolerance<E>(1));

  gpu::embed_backward(ctx, Tensor<float, Vocab<V>, Embd<C>>(d_word.gpu()),
                      Tensor<float, Ctx<N>, Embd<C>>(d_position.gpu()), Rows(d_residual.gpu(), batch, time), ids,
                      dropout);
  reference::embed_backward(exact, Tensor<double, Vocab<V>, Embd<C>>(d_word.exact()),
                            Tensor<double, Ctx<N>, Embd<C>>(d_position.exact()),
                            ExactRows(d_residual.exact(), batch, time), exact_ids, exact_dropout);
  CHECK(d_word.error() <= tolerance<float>(static_cast<double>(n)));
  CHECK(d_position.error() <= tolerance<float>(batch));
}

template <class E> void sweep(unsigned seed) {
  const auto one = [&]<int V, int C>() {
    const int count = std::max(5, test::shapes() / 6);
    for (int i = 0; i < count; ++i, seed += 10) {
      const auto draw = whole(2, 1 << 20, seed);
      const int batch = i == 0 ? 1 : 1 + draw[0] % (emulated() ? 5 : 60), time = i == 0 ? 1 : 1 + draw[1] % 64;
      compare<E, V, C>(batch, time, static_cast<Spread>(i % 3), i % 2 == 0, i % 4 != 3, seed);
    }
  };
  one.template operator()<2, 4>();
  one.template operator()<65, 35>();
  one.template operator()<257, 96>();
  one.template operator()<600, 300>();
  one.template operator()<1031, 264>();
  one.template operator()<97, 768>();
}

}  // namespace

TEST_CASE("the order of tokens is by token, then by place") {
  for (const Spread spread : {Spread::even, Spread::skewed, Spread::one_token}) {
    for (const std::size_t n : {1u, 31u, 33u, 256u, 2047u, 2048u, 2049u, 9000u}) {
      order_is_stable<1>(n, spread);
      order_is_stable<65>(n, spread);
      order_is_stable<512>(n, spread);
      order_is_stable<50'257>(n, spread);
      order_is_stable<300'000>(n, spread);
    }
  }
}
TEST_CASE("embedding on a GPU is the reference's, in float") { sweep<float>(100); }
TEST_CASE("embedding on a GPU is the reference's, in bfloat16") { sweep<bfloat16>(900); }

TEST_CASE("embedding on a GPU sums over many places as over few") {
  compare<bfloat16, 65, 40>(emulated() ? 40 : 700, 64, Spread::skewed, true, true, 5);
  compare<float, 257, 36>(emulated() ? 40 : 700, 63, Spread::one_token, true, false, 6);
  compare<float, 3, 1>(emulated() ? 600 : 5000, 64, Spread::even, true, false, 7);
}

TEST_CASE("the gradient of an embedding has the same bits each time") {
  constexpr int V = 65, C = 40, batch = 24, time = 64;
  gpu::Context<bfloat16> ctx;
  ctx.reserve_scratch(gpu::embed_backward_scratch(batch * time, V, C));
  const OnDevice<std::int32_t> tokens(tokens_of(batch * time, V, Spread::skewed, 3));
  const OnDevice<bfloat16> d_residual(as<bfloat16>(normal(std::size_t{batch} * time * C, 4)));
  std::vector<std::vector<float>> results;
  for (int run = 0; run < 3; ++run) {
    const OnDevice<float> d_word(std::vector<float>(V * C)), d_position(std::vector<float>(time * C));
    gpu::embed_backward(ctx, Tensor<float, Vocab<V>, Embd<C>>(d_word.data()),
                        Tensor<float, Ctx<time>, Embd<C>>(d_position.data()),
                        Tensor<bfloat16, Batch<dyn>, Time<dyn>, Embd<C>>(d_residual.data(), batch, time),
                        TokenIds(tokens.data(), batch, time), Dropout{});
    results.push_back(d_word.host());
    CHECK(results.back() == results.front());
  }
}

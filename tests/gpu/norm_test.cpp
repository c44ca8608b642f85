// gpu/norm.cuh against the reference: rows of every kind of team, with and without dropout, bias and branch.
#include <catch.hpp>
#include <tinygpt/gpu/norm.cuh>
#include <tinygpt/reference/norm.hpp>

#include "on_device.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

/// A batch, and which of the optional things it has.
struct Case {
  int batch, time;
  bool bias, dropout;
  unsigned seed;
  double eps;
};

template <NormKind K, class E, int C> void compare(const Case& c) {
  gpu::Context<E> ctx;
  reference::Context<double> exact;
  const auto tokens = static_cast<std::size_t>(c.batch * c.time), n = tokens * C;
  ctx.reserve_scratch(gpu::norm_backward_scratch(c.batch * c.time, C));
  const auto some = [&](std::size_t size, unsigned salt, double mean = 0) {
    return Twin<E>(normal(size, c.seed * 100 + salt, 1, mean));
  };
  Twin<E> in = some(n, 1, 0.5), branch = some(n, 2), weight = some(C, 3, 1), bias = c.bias ? some(C, 4) : Twin<E>{};
  Twin<E> residual = some(n, 5), normed = some(n, 6), again = some(n, 6), d_residual = some(n, 7),
          d_branch = some(n, 8), d_normed = some(n, 9);
  Twin<float> mean(normal(tokens, 10)), rstd(normal(tokens, 11)), d_weight(normal(C, 12)),
      d_bias = c.bias ? Twin<float>(normal(C, 13)) : Twin<float>{};
  using Rows = Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>>;
  using ExactRows = Tensor<double, Batch<dyn>, Time<dyn>, Embd<C>>;
  const auto rows = [&](Twin<E>& t) { return Rows(t.gpu(), c.batch, c.time); };
  const auto exact_rows = [&](Twin<E>& t) { return ExactRows(t.exact(), c.batch, c.time); };
  const auto statistic = [&](Twin<float>& t) { return Tensor<float, Batch<dyn>, Time<dyn>>(t.gpu(), c.batch, c.time); };
  const auto exact_statistic = [&](Twin<float>& t) {
    return Tensor<double, Batch<dyn>, Time<dyn>>(t.exact(), c.batch, c.time);
  };
  const OnDevice<std::uint64_t> step(std::vector<std::uint64_t>{40});
  const Dropout dropout = {c.dropout ? 13'000u : 0u, 5, 77, {2, step.data()}, c.time + 3};
  const Dropout exact_dropout = {c.dropout ? 13'000u : 0u, 5, 77, 42, c.time + 3};
  const double limit = tolerance<E>(C);
  INFO("C = " << C << ", B = " << c.batch << ", T = " << c.time << ", bias " << c.bias << ", dropout " << c.dropout);

  gpu::residual_norm<K>(ctx, rows(normed), rows(residual), statistic(mean), statistic(rstd), rows(in), rows(branch),
                        Tensor<E, Embd<C>>(weight.gpu()), Tensor<E, Embd<C>>(bias.gpu()), dropout, c.eps);
  reference::residual_norm<K>(exact, exact_rows(normed), exact_rows(residual), exact_statistic(mean),
                              exact_statistic(rstd), exact_rows(in), exact_rows(branch),
                              Tensor<double, Embd<C>>(weight.exact()), Tensor<double, Embd<C>>(bias.exact()),
                              exact_dropout, c.eps);
  CHECK(residual.error() <= limit);
  if (C > 1 || K == rms) CHECK(normed.error() <= limit);  // the norm of one number is a difference of equal numbers
  if (K == layer) CHECK(mean.error() <= limit);
  CHECK(rstd.error() <= (C > 1 || K == rms ? limit : 1e-2));

  // From the residual that was kept, norm gives the bits that residual_norm gave.
  gpu::norm<K>(ctx, rows(again), statistic(mean), statistic(rstd), rows(residual), Tensor<E, Embd<C>>(weight.gpu()),
               Tensor<E, Embd<C>>(bias.gpu()), c.eps);
  CHECK(again.from_gpu() == normed.from_gpu());

  // Backward from the gpu's own residual and statistics, so that only its own rounding is seen.
  const Twin<E> kept(residual.from_gpu());
  Twin<E> x(residual.from_gpu());
  Twin<float> mu(K == layer ? mean.from_gpu() : std::vector<double>(tokens)), r(rstd.from_gpu());
  for (const bool branches : {true, false}) {
    gpu::residual_norm_backward<K>(ctx, rows(d_residual), branches ? rows(d_branch) : Rows{},
                                   Tensor<float, Embd<C>>(d_weight.gpu()), Tensor<float, Embd<C>>(d_bias.gpu()),
                                   rows(d_normed), rows(x), statistic(mu), statistic(r),
                                   Tensor<E, Embd<C>>(weight.gpu()), branches ? dropout : Dropout{});
    reference::residual_norm_backward<K>(exact, exact_rows(d_residual), branches ? exact_rows(d_branch) : ExactRows{},
                                         Tensor<double, Embd<C>>(d_weight.exact()),
                                         Tensor<double, Embd<C>>(d_bias.exact()), exact_rows(d_normed), exact_rows(x),
                                         exact_statistic(mu), exact_statistic(r),
                                         Tensor<double, Embd<C>>(weight.exact()), branches ? exact_dropout : Dropout{});
    CHECK(d_residual.error() <= limit);
    CHECK(d_branch.error() <= limit);
    CHECK(d_weight.error() <= tolerance<float>(static_cast<double>(tokens) + C));
    CHECK(d_bias.error() <= tolerance<float>(static_cast<double>(tokens)));
  }
}

/// Widths that make teams of every kind: elements one by one and in vectors, one warp, two, several.
template <NormKind K, class E, int... Widths> void sweep() {
  const int each = std::max(2, test::shapes() / static_cast<int>(sizeof...(Widths)));
  unsigned seed = 0;
  const auto one = [&]<int C>() {
    for (int i = 0; i < each; ++i, ++seed) {
      const auto draw = whole(2, 1 << 20, seed);
      const int batch = 1 + 2 * (draw[0] % 2), time = i == 0 ? 1 : 1 + draw[1] % (emulated() ? 40 : 700);
      compare<K, E, C>(
          {batch, time, K == layer && seed % 2 == 0, seed % 3 != 0, seed, seed % 4 == 0 ? 0.02 : default_norm_eps(K)});
    }
  };
  (one.template operator()<Widths>(), ...);
}

}  // namespace

TEST_CASE("LayerNorm on a GPU is the reference's, in float") {
  sweep<layer, float, 1, 7, 32, 35, 96, 300, 514, 768, 1300>();
}
TEST_CASE("RMSNorm on a GPU is the reference's, in float") { sweep<rms, float, 4, 6, 33, 64, 770, 1025>(); }
TEST_CASE("LayerNorm on a GPU is the reference's, in bfloat16") {
  sweep<layer, bfloat16, 12, 35, 64, 80, 768, 1000, 1024, 1600, 2304>();
}
TEST_CASE("RMSNorm on a GPU is the reference's, in bfloat16") { sweep<rms, bfloat16, 2, 9, 256, 768, 1024, 1280>(); }

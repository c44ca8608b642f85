// gpu/activation.cuh against the reference: every nonlinearity, widths with and without vectors, in place.
#include <catch.hpp>
#include <tinygpt/gpu/activation.cuh>
#include <tinygpt/reference/activation.hpp>

#include "on_device.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

template <ActivationKind K, class E, int F> void compare(int batch, int time, unsigned seed) {
  gpu::Context<E> ctx;
  reference::Context<double> exact;
  using Rows = FfnIn<F, K>;
  const auto tokens = static_cast<std::size_t>(batch * time);
  Twin<E> pre(normal(tokens * Rows::value, seed, 3)), hidden(normal(tokens * F, seed + 1)),
      d_hidden(normal(tokens * F, seed + 2)), d_pre(normal(tokens * Rows::value, seed + 3));
  INFO("F = " << F << ", B = " << batch << ", T = " << time);
  const Tensor<E, Batch<dyn>, Time<dyn>, Rows> x(pre.gpu(), batch, time), d_x(d_pre.gpu(), batch, time);
  const Tensor<double, Batch<dyn>, Time<dyn>, Rows> exact_x(pre.exact(), batch, time);
  const Tensor<E, Batch<dyn>, Time<dyn>, Ffn<F>> h(hidden.gpu(), batch, time), d_h(d_hidden.gpu(), batch, time);
  const Tensor<double, Batch<dyn>, Time<dyn>, Ffn<F>> exact_h(hidden.exact(), batch, time),
      exact_d_h(d_hidden.exact(), batch, time);

  gpu::activation(ctx, h, read(x));
  reference::activation(exact, exact_h, read(exact_x));
  CHECK(hidden.error() <= tolerance<E>(1));

  gpu::activation_backward(ctx, d_x, d_h, x);
  gpu::activation_backward(ctx, x, d_h, x);  // the gradient in place of what it is the gradient of
  reference::activation_backward(exact, exact_x, exact_d_h, exact_x);
  CHECK(pre.error() <= tolerance<E>(1));
  CHECK(d_pre.from_gpu() == pre.from_gpu());
}

template <ActivationKind K, class E> void sweep() {
  unsigned seed = 10;
  const auto one = [&]<int F>() {
    for (int i = 0; i < std::max(4, test::shapes() / 6); ++i, seed += 4) {
      const auto draw = whole(2, 1 << 20, seed);
      compare<K, E, F>(1 + draw[0] % 3, i == 0 ? 1 : 1 + draw[1] % (emulated() ? 30 : 600), seed);
    }
  };
  one.template operator()<1>();
  one.template operator()<45>();
  one.template operator()<64>();
  one.template operator()<100>();
  one.template operator()<258>();
  one.template operator()<768>();
}

}  // namespace

TEST_CASE("the nonlinearities on a GPU are the reference's, in float") {
  sweep<relu, float>();
  sweep<gelu, float>();
  sweep<gelu_tanh, float>();
  sweep<swiglu, float>();
}
TEST_CASE("the nonlinearities on a GPU are the reference's, in bfloat16") {
  sweep<relu, bfloat16>();
  sweep<gelu, bfloat16>();
  sweep<gelu_tanh, bfloat16>();
  sweep<swiglu, bfloat16>();
}

TEST_CASE("the nonlinearities on a GPU have their limits far from 0") {
  const auto limits = [](auto kind) {
    constexpr ActivationKind K = decltype(kind)::value;
    gpu::Context<float> ctx;
    const OnDevice<float> pre(std::vector<float>{1e4f, -1e4f, 100.0f, -100.0f}), hidden(std::vector<float>(4, 7.0f)),
        d_hidden(std::vector<float>(4, 1.0f));
    const Tensor<float, Batch<dyn>, Time<dyn>, FfnIn<4, K>> x(pre.data(), 1, 1);
    const Tensor<float, Batch<dyn>, Time<dyn>, Ffn<4>> h(hidden.data(), 1, 1);
    gpu::activation(ctx, h, read(x));
    CHECK(hidden.host() == std::vector<float>{1e4f, 0.0f, 100.0f, 0.0f});
    gpu::activation_backward(ctx, x, Tensor<float, Batch<dyn>, Time<dyn>, Ffn<4>>(d_hidden.data(), 1, 1), x);
    CHECK(pre.host() == std::vector<float>{1.0f, 0.0f, 1.0f, 0.0f});
  };
  limits(std::integral_constant<ActivationKind, relu>{});
  limits(std::integral_constant<ActivationKind, gelu>{});
  limits(std::integral_constant<ActivationKind, gelu_tanh>{});
}

// Linear layers on the device against the reference in double, forward and backward, over shapes.
#include <on_device.hpp>

#include <catch.hpp>
#include <tinygpt/gpu/linear.cuh>
#include <tinygpt/reference/linear.hpp>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

enum class WithBias { no, yes };

/// The tensors of one layer, `cols` to `rows` numbers, on both backends.
template <class E> struct Layer {
  Layer(int batch, int time, int rows, int cols, WithBias bias, unsigned seed) : tokens(batch * time) {
    const auto n = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
    x = Twin<E>(normal(n(tokens, cols), seed));
    w = Twin<E>(normal(n(rows, cols), seed + 1, 1 / std::sqrt(cols)));
    y = Twin<E>(std::vector<double>(n(tokens, rows), std::nan("")));
    d_y = Twin<E>(normal(n(tokens, rows), seed + 3));
    d_x = Twin<E>(std::vector<double>(n(tokens, cols), std::nan("")));
    d_w = Twin<float>(normal(n(rows, cols), seed + 4));
    if (bias == WithBias::yes) {
      b = Twin<E>(normal(n(rows, 1), seed + 2));
      d_b = Twin<float>(normal(n(rows, 1), seed + 5));
    }
  }

  int tokens;
  Twin<E> x, w, b, y, d_y, d_x;
  Twin<float> d_w, d_b;
};

template <class E, int Rows, int Cols>
void compare_linear(gpu::Context<E>& ctx, int batch, int time, WithBias bias, unsigned seed) {
  INFO("B = " << batch << ", T = " << time << ", " << Cols << " to " << Rows << ", seed " << seed);
  using R = Vocab<Rows>;
  using C = Embd<Cols>;
  Layer<E> l(batch, time, Rows, Cols, bias, seed);
  reference::Context<double> exact;
  using Outputs = Tensor<E, Batch<dyn>, Time<dyn>, R>;
  using Inputs = Tensor<E, Batch<dyn>, Time<dyn>, C>;
  using ExactOutputs = Tensor<double, Batch<dyn>, Time<dyn>, R>;
  using ExactInputs = Tensor<double, Batch<dyn>, Time<dyn>, C>;

  linear(ctx, Outputs(l.y.gpu(), batch, time), Inputs(l.x.gpu(), batch, time), Tensor<const E, R, C>(l.w.gpu()),
         Tensor<const E, R>(l.b.gpu()));
  linear(exact, ExactOutputs(l.y.exact(), batch, time), ExactInputs(l.x.exact(), batch, time),
         Tensor<const double, R, C>(l.w.exact()), Tensor<const double, R>(l.b.exact()));
  CHECK(l.y.error() <= tolerance<E>(Cols + 1));

  ctx.reserve_scratch(gpu::linear_scratch(l.tokens, Rows));
  linear_backward(ctx, Inputs(l.d_x.gpu(), batch, time), Tensor<float, R, C>(l.d_w.gpu()),
                  Tensor<float, R>(l.d_b.gpu()), Outputs(l.d_y.gpu(), batch, time), Inputs(l.x.gpu(), batch, time),
                  Tensor<const E, R, C>(l.w.gpu()));
  linear_backward(exact, ExactInputs(l.d_x.exact(), batch, time), Tensor<double, R, C>(l.d_w.exact()),
                  Tensor<double, R>(l.d_b.exact()), ExactOutputs(l.d_y.exact(), batch, time),
                  ExactInputs(l.x.exact(), batch, time), Tensor<const double, R, C>(l.w.exact()));
  CHECK(l.d_x.error() <= tolerance<E>(Rows));
  // Of gradients of parameters every term is exact in float, so bf16 too has no more than float's roundoff.
  CHECK(l.d_w.error() <= tolerance<float>(l.tokens + 1));
  if (bias == WithBias::yes) CHECK(l.d_b.error() <= tolerance<float>(l.tokens + 1));
}

template <class E, int Rows, int Cols> void sweep(unsigned seed) {
  gpu::Context<E> ctx;
  const int each = shapes() / 4;
  for (int i = 0; i < each; ++i) {
    const auto numbers = whole(2, emulated() ? 70 : 600, seed + static_cast<unsigned>(i));
    const int batch = i % 2 == 0 ? 1 : 3, time = i == 0 ? 1 : i == 1 ? 129 : numbers[0] + 1;
    compare_linear<E, Rows, Cols>(ctx, batch, time, i % 3 == 0 ? WithBias::no : WithBias::yes,
                                  seed + 7 * static_cast<unsigned>(i));
  }
}

template <class E, int F, ActivationKind K, int Cols>
void compare_activation(gpu::Context<E>& ctx, int batch, int time, WithBias bias, unsigned seed) {
  INFO("B = " << batch << ", T = " << time << ", " << Cols << " to " << F << ", seed " << seed);
  using R = FfnIn<F, K>;
  using C = Embd<Cols>;
  Layer<E> l(batch, time, R::value, Cols, bias, seed);
  const auto hidden_size = static_cast<std::size_t>(l.tokens) * F;
  Twin<E> hidden(std::vector<double>(hidden_size, std::nan(""))), d_hidden(normal(hidden_size, seed + 9));
  reference::Context<double> exact;
  using Pre = Tensor<E, Batch<dyn>, Time<dyn>, R>;
  using Hidden = Tensor<E, Batch<dyn>, Time<dyn>, Ffn<F>>;
  using Inputs = Tensor<E, Batch<dyn>, Time<dyn>, C>;
  using ExactPre = Tensor<double, Batch<dyn>, Time<dyn>, R>;
  using ExactHidden = Tensor<double, Batch<dyn>, Time<dyn>, Ffn<F>>;
  using ExactInputs = Tensor<double, Batch<dyn>, Time<dyn>, C>;

  linear_activation(ctx, Hidden(hidden.gpu(), batch, time), Pre(l.y.gpu(), batch, time), Inputs(l.x.gpu(), batch, time),
                    Tensor<const E, R, C>(l.w.gpu()), Tensor<const E, R>(l.b.gpu()));
  linear_activation(exact, ExactHidden(hidden.exact(), batch, time), ExactPre(l.y.exact(), batch, time),
                    ExactInputs(l.x.exact(), batch, time), Tensor<const double, R, C>(l.w.exact()),
                    Tensor<const double, R>(l.b.exact()));
  CHECK(l.y.error() <= tolerance<E>(Cols + 1));
  CHECK(hidden.error() <= 2 * tolerance<E>(Cols + 1));

  // The gradient of the nonlinearity's input takes its place.
  ctx.reserve_scratch(gpu::linear_scratch(l.tokens, R::value));
  const Pre pre(l.y.gpu(), batch, time);
  const ExactPre exact_pre(l.y.exact(), batch, time);
  linear_activation_backward(ctx, Inputs(l.d_x.gpu(), batch, time), Tensor<float, R, C>(l.d_w.gpu()),
                             Tensor<float, R>(l.d_b.gpu()), pre, Hidden(d_hidden.gpu(), batch, time), pre,
                             Inputs(l.x.gpu(), batch, time), Tensor<const E, R, C>(l.w.gpu()));
  linear_activation_backward(exact, ExactInputs(l.d_x.exact(), batch, time), Tensor<double, R, C>(l.d_w.exact()),
                             Tensor<double, R>(l.d_b.exact()), exact_pre, ExactHidden(d_hidden.exact(), batch, time),
                             exact_pre, ExactInputs(l.x.exact(), batch, time), Tensor<const double, R, C>(l.w.exact()));
  const double longest = std::max({R::value, Cols, l.tokens});
  CHECK(l.y.error() <= 2 * tolerance<E>(longest));
  CHECK(l.d_x.error() <= 2 * tolerance<E>(longest));
  CHECK(l.d_w.error() <= 2 * tolerance<E>(longest));
  if (bias == WithBias::yes) CHECK(l.d_b.error() <= 2 * tolerance<E>(longest));
}

}  // namespace

TEMPLATE_TEST_CASE("A linear layer and its gradients are the reference's, at odd widths as well", "[gpu]", float,
                   bfloat16) {
  sweep<TestType, 64, 32>(1);
  sweep<TestType, 97, 33>(2);
  sweep<TestType, 12, 100>(3);
  sweep<TestType, 1, 7>(4);
}

TEMPLATE_TEST_CASE("A linear layer with a nonlinearity and its gradients are the reference's", "[gpu]", float,
                   bfloat16) {
  gpu::Context<TestType> ctx;
  for (int i = 0; i < shapes() / 4; ++i) {
    const auto seed = static_cast<unsigned>(100 + 20 * i);
    const int batch = i % 2 == 0 ? 1 : 3, time = i == 0 ? 1 : whole(1, 60, seed)[0] + 1;
    const WithBias bias = i % 2 == 0 ? WithBias::yes : WithBias::no;
    compare_activation<TestType, 48, gelu_tanh, 24>(ctx, batch, time, bias, seed);
    compare_activation<TestType, 37, swiglu, 20>(ctx, batch, time, bias, seed + 1);
    compare_activation<TestType, 64, gelu, 9>(ctx, batch, time, bias, seed + 2);
  }
}

TEMPLATE_TEST_CASE("Sums of columns do not depend on what lies beyond the width", "[gpu]", float, bfloat16) {
  gpu::Context<TestType> ctx;
  using E = TestType;
  constexpr int width = 261, stride = 264;
  for (int rows : {1, 127, 128, 129, 700}) {
    std::vector<double> x = as<double>(as<E>(normal(static_cast<std::size_t>(rows) * stride, 5)));
    std::vector<double> expected = as<double>(as<float>(normal(width, 6)));
    const OnDevice<float> sums(as<float>(expected));
    for (int i = 0; i < rows * stride; ++i) {
      if (i % stride < width) expected[static_cast<std::size_t>(i % stride)] += x[static_cast<std::size_t>(i)];
      if (i % stride >= width) x[static_cast<std::size_t>(i)] = std::nan("");
    }
    const OnDevice<E> device(as<E>(x));
    ctx.reserve_scratch(gpu::column_sums_scratch(rows, width));
    gpu::add_column_sums<stride>(ctx, sums.data(), device.data(), rows, width);
    CHECK(relative_error(as<double>(sums.host()), expected) <= tolerance<float>(rows + 1));
  }
}

// The loss head on the device against the reference in double: losses, loss and every gradient, over shapes.
#include <on_device.hpp>

#include <catch.hpp>
#include <cstring>
#include <limits>
#include <tinygpt/gpu/loss.cuh>
#include <tinygpt/reference/loss.hpp>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

enum class WithBias { no, yes };
enum class Ignored { none, some, all };

std::vector<std::int32_t> targets_of(int n, int vocab, Ignored ignored, unsigned seed) {
  std::vector<std::int32_t> targets = whole(static_cast<std::size_t>(n), vocab, seed);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (ignored == Ignored::all || (ignored == Ignored::some && i % 3 == 1)) targets[i] = ignored_target;
  }
  if (n > 2 && ignored == Ignored::none) targets[0] = vocab - 1, targets[2] = 0;
  return targets;
}

/// The tensors of a loss head on both backends. `rows` rows of logits on the device.
template <class E, int V, int C> struct Case {
  Case(int b, int t, int rows, WithBias bias, Ignored ignored, unsigned seed)
      : batch(b), time(t), n(b * t), logits_rows(rows), ids(targets_of(n, V, ignored, seed + 6)), device_ids(ids) {
    const auto size = [](int i, int j) { return static_cast<std::size_t>(i) * static_cast<std::size_t>(j); };
    const double nan = std::nan("");
    x = Twin<E>(normal(size(n, C), seed));
    w = Twin<E>(normal(size(V, C), seed + 1, 2 / std::sqrt(C)));
    losses = Twin<float>(std::vector<double>(size(n, 1), nan));
    loss = Twin<float>(std::vector<double>{0.75});
    logits = OnDevice<E>(std::vector<E>(size(rows, V), E(static_cast<float>(nan))));
    d_x = Twin<E>(std::vector<double>(size(n, C), nan));
    d_w = Twin<float>(normal(size(V, C), seed + 2, 0.01));
    if (bias == WithBias::yes) {
      b_ = Twin<E>(normal(V, seed + 3));
      d_b = Twin<float>(normal(V, seed + 4, 0.01));
    }
  }

  void run_gpu(gpu::Context<E>& ctx, double scale, bool gradient) {
    const Tensor<float, Batch<dyn>, Time<dyn>> l(losses.gpu(), batch, time);
    const Tensor<E, Batch<dyn>, Time<dyn>, Embd<C>> in(x.gpu(), batch, time), d_in(d_x.gpu(), batch, time);
    const Tensor<E, Time<dyn>, Vocab<V>> z(logits.data(), logits_rows);
    const Tensor<const E, Vocab<V>, Embd<C>> weight(w.gpu());
    const Tensor<const E, Vocab<V>> bias(b_.gpu());
    const TokenIds targets(device_ids.data(), batch, time);
    if (gradient) {
      ctx.reserve_scratch(gpu::loss_scratch(logits_rows, V));
      loss_head_gradient(ctx, loss.gpu(), l, d_in, Tensor<float, Vocab<V>, Embd<C>>(d_w.gpu()),
                         Tensor<float, Vocab<V>>(d_b.gpu()), z, in, weight, bias, targets, scale);
    } else {
      loss_head(ctx, loss.gpu(), l, z, in, weight, bias, targets, scale);
    }
  }

  void run_reference(double scale, bool gradient) {
    reference::Context<double> ctx;
    std::vector<double> chunk(static_cast<std::size_t>(n) * V);
    const Tensor<double, Batch<dyn>, Time<dyn>> l(losses.exact(), batch, time);
    const Tensor<double, Batch<dyn>, Time<dyn>, Embd<C>> in(x.exact(), batch, time), d_in(d_x.exact(), batch, time);
    const Tensor<double, Time<dyn>, Vocab<V>> z(chunk.data(), n);
    const Tensor<const double, Vocab<V>, Embd<C>> weight(w.exact());
    const Tensor<const double, Vocab<V>> bias(b_.exact());
    const TokenIds targets(ids.data(), batch, time);
    if (gradient) {
      loss_head_gradient(ctx, loss.exact(), l, d_in, Tensor<double, Vocab<V>, Embd<C>>(d_w.exact()),
                         Tensor<double, Vocab<V>>(d_b.exact()), z, in, weight, bias, targets, scale);
    } else {
      loss_head(ctx, loss.exact(), l, z, in, weight, bias, targets, scale);
    }
  }

  int batch, time, n, logits_rows;
  std::vector<std::int32_t> ids;
  OnDevice<std::int32_t> device_ids;
  Twin<E> x, w, b_, d_x;
  Twin<float> losses, loss, d_w, d_b;
  OnDevice<E> logits;
};

template <class E, int V, int C>
void compare(gpu::Context<E>& ctx, int batch, int time, int rows, WithBias bias, Ignored ignored, unsigned seed) {
  INFO("B = " << batch << ", T = " << time << ", V = " << V << ", C = " << C << ", " << rows << " rows of logits, seed "
              << seed);
  const double scale = 1.0 / (batch * time);
  for (bool gradient : {false, true}) {
    Case<E, V, C> it(batch, time, rows, bias, ignored, seed);
    it.run_gpu(ctx, scale, gradient);
    it.run_reference(scale, gradient);
    CHECK(it.losses.error() <= tolerance<E>(C + 1));
    CHECK(it.loss.error() <= tolerance<E>(C + 1));
    if (!gradient) continue;
    const double longest = std::max({V, C, batch * time});
    CHECK(it.d_x.error() <= tolerance<E>(longest));
    CHECK(it.d_w.error() <= tolerance<E>(longest));
    if (bias == WithBias::yes) CHECK(it.d_b.error() <= tolerance<E>(longest));
  }
}

template <class E, int V, int C> void sweep(unsigned seed) {
  gpu::Context<E> ctx;
  for (int i = 0; i < shapes() / 4; ++i) {
    const auto own = seed + 11 * static_cast<unsigned>(i);
    const auto numbers = whole(3, emulated() ? 50 : 500, own);
    const int batch = i % 2 == 0 ? 1 : 3, time = i == 0 ? 1 : numbers[0] + 1;
    const int rows = i < 2 ? 1 : i == 2 ? 2 : numbers[1] + 1;
    compare<E, V, C>(ctx, batch, time, rows, i % 3 == 0 ? WithBias::no : WithBias::yes,
                     i % 4 == 3 ? Ignored::some : Ignored::none, own);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("Losses and their gradients are the reference's, in chunks of any number of rows", "[gpu]", float,
                   bfloat16) {
  sweep<TestType, 65, 24>(1);
  sweep<TestType, 512, 16>(2);
  sweep<TestType, 1003, 9>(3);
  sweep<TestType, 2, 8>(4);
}

TEMPLATE_TEST_CASE("A vocabulary that takes many loads of a block is the same", "[gpu]", float, bfloat16) {
  gpu::Context<TestType> ctx;
  compare<TestType, 5003, 8>(ctx, 1, 3, 2, WithBias::yes, Ignored::none, 5);
  compare<TestType, 50257, 8>(ctx, 1, 3, 3, WithBias::yes, Ignored::some, 6);
  compare<TestType, 33000, 4>(ctx, 2, 2, 3, WithBias::no, Ignored::none, 7);
}

TEMPLATE_TEST_CASE("Where every target is ignored, the loss and all gradients are zero", "[gpu]", float, bfloat16) {
  gpu::Context<TestType> ctx;
  Case<TestType, 130, 16> it(2, 5, 4, WithBias::yes, Ignored::all, 9);
  const std::vector<double> d_w = it.d_w.from_gpu(), d_b = it.d_b.from_gpu();
  it.run_gpu(ctx, 1, true);
  CHECK(norm2(it.losses.from_gpu()) == 0);
  CHECK(it.loss.from_gpu()[0] == 0.75);
  CHECK(norm2(it.d_x.from_gpu()) == 0);
  CHECK(it.d_w.from_gpu() == d_w);
  CHECK(it.d_b.from_gpu() == d_b);
}

TEST_CASE("Logits far from zero neither overflow nor vanish", "[gpu]") {
  gpu::Context<float> ctx;
  for (double shift : {-300.0, 300.0}) {
    Case<float, 100, 4> it(1, 6, 6, WithBias::yes, Ignored::none, 3);
    it.b_ = Twin<float>(normal(100, 12, 1, shift));
    it.run_gpu(ctx, 1.0 / 6, true);
    it.run_reference(1.0 / 6, true);
    // Logits of 300 are rounded to 2^-15, which is what the losses have of error, absolutely.
    CHECK(it.losses.error() <= 2e-5);
    CHECK(it.d_x.error() <= 1e-4);
  }
}

TEST_CASE("One row that is not a number makes the loss not a number", "[gpu]") {
  gpu::Context<float> ctx;
  Case<float, 100, 4> it(1, 6, 6, WithBias::no, Ignored::none, 3);
  std::vector<double> x = normal(24, 1);
  x[9] = std::numeric_limits<double>::infinity();
  it.x = Twin<float>(x);
  it.run_gpu(ctx, 1.0 / 6, true);
  CHECK(std::isnan(it.loss.from_gpu()[0]));
}

TEMPLATE_TEST_CASE("The same inputs give the same bits each time", "[gpu]", float, bfloat16) {
  gpu::Context<TestType> ctx;
  Case<TestType, 1003, 24> it(3, 50, 64, WithBias::yes, Ignored::some, 21);
  const auto run = [&] {
    it.loss.reset(), it.losses.reset(), it.d_x.reset(), it.d_w.reset(), it.d_b.reset();
    it.run_gpu(ctx, 1.0 / 150, true);
    std::vector<double> all = it.loss.from_gpu();
    for (const auto& part : {it.losses.from_gpu(), it.d_x.from_gpu(), it.d_w.from_gpu(), it.d_b.from_gpu()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  };
  const std::vector<double> first = run();
  for (int i = 0; i < 2; ++i) {
    const std::vector<double> again = run();
    REQUIRE(again.size() == first.size());
    CHECK(std::memcmp(again.data(), first.data(), first.size() * sizeof(double)) == 0);
  }
}

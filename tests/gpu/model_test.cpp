// Whole models on the gpu backend: the training step that train/ walks, its kernels and its graph, against the reference.
#include <catch.hpp>
#include <limits>
#include <vector>

#include <numbers.hpp>
#include <on_device.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/gpu/gpu.cuh>
#include <tinygpt/reference/reference.hpp>
#include <tinygpt/train/trainer.hpp>

using namespace tinygpt;

namespace {

static_assert(Backend<gpu::Context<float>> && Backend<gpu::Context<bfloat16>>);

// One tiny model of each family: widths and lengths that fit no tile.
using Classic = GPT<Layers<2>, Embd<48>, Heads<3>, Ctx<40>, Vocab<67>>;
using Gpt2 = GPT<Layers<2>, Embd<64>, Heads<2>, Ctx<24>, Vocab<101>, Bias<all>, Activation<gelu_tanh>>;
using Factory =
    GPT<Layers<1>, Embd<40>, Heads<2>, Ctx<33>, Vocab<50>, Bias<all | head>, Activation<relu>, Head<untied>>;
using Modern = GPT<Layers<2>, Embd<64>, Heads<4, 2>, Ctx<48>, Ffn<96>, Vocab<80>, Norm<rms>, Positions<rope>,
                   Activation<swiglu>, QkNorm>;
using Consumer = GPT<Layers<2>, Embd<96>, Heads<3, 1>, Ctx<20>, Ffn<128>, Vocab<64>, Norm<rms, 0.05>, Positions<rope>,
                     Activation<swiglu>>;

/// Random windows of random tokens.
template <class M> struct Noise {
  void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int, std::uint64_t seed, Purpose purpose,
            std::uint64_t number) const {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto bits = random_bits(seed, purpose, i, number);
      tokens[i] = static_cast<std::int32_t>(bits[0] % M::config.vocab);
      targets[i] = bits[1] % 7 == 0 ? ignored_target : static_cast<std::int32_t>(bits[1] % M::config.vocab);
    }
  }
};

template <class Context, class N> std::vector<N> host_copy(Context& ctx, std::span<N> there) {
  std::vector<N> here(there.size());
  copy_out(ctx, std::span<N>(here), there.data());
  return here;
}

template <class E> gpu::Context<E> context_for(const Config& c, int batch) {
  return gpu::Context<E>(0, gpu::train_workspace(c, batch, c.ctx));
}

/// How far apart two arenas are in each tensor, relative to the second's norm in it; the largest of them.
template <class M, class A, class B>
double worst_tensor(const std::vector<A>& actual, const std::vector<B>& expected) {
  double worst = 0;
  for (const ParamRow& row : M::params) {
    double difference = 0, size = 0;
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        const auto at = static_cast<std::size_t>(row.offset + l * row.stride + i);
        difference += std::pow(static_cast<double>(actual[at]) - static_cast<double>(expected[at]), 2);
        size += std::pow(static_cast<double>(expected[at]), 2);
      }
    }
    INFO(row.name);
    REQUIRE(size > 0);
    worst = std::max(worst, std::sqrt(difference / size));
  }
  return worst;
}

/// One step on each backend, from the same weights and on the same batch: the gradients that it leaves.
template <class M, class E> void same_gradients(double tolerance, double dropout, Recompute recompute, int micro = 1) {
  const TrainOptions options{.batch_size = 2, .grad_accum_steps = micro, .warmup_iters = 1, .dropout = dropout,
                             .eval_iters = 2, .recompute = recompute};
  reference::Context<double> exact;
  Trainer<M, reference::Context<double>> expected(exact, options);
  auto ctx = context_for<E>(M::config, options.batch_size);
  Trainer<M, gpu::Context<E>> actual(ctx, options);
  INFO("dropout " << dropout << ", recompute " << static_cast<int>(recompute) << ", micro-batches " << micro);

  for (int i = 0; i < 3; ++i) {  // called, recorded, repeated
    const StepReport a = actual.step(Noise<M>{}), e = expected.step(Noise<M>{});
    INFO("step " << i);
    CHECK(a.loss == Approx(e.loss).epsilon(tolerance));
    CHECK(a.grad_norm == Approx(e.grad_norm).epsilon(10 * tolerance));
    const auto gradients = host_copy(ctx, actual.gradients());
    const std::vector<double> exact_gradients(expected.gradients().begin(), expected.gradients().end());
    CHECK(worst_tensor<M>(gradients, exact_gradients) <= tolerance);
    // Go on from the same weights, so that what differs is this step's.
    std::vector<float> weights(expected.weights().begin(), expected.weights().end());
    copy_in(ctx, actual.weights().data(), std::span<const float>(weights));
    actual.resume_at(actual.iteration(), actual.updates(), actual.skipped());
  }
  CHECK(actual.evaluate(Noise<M>{}) == Approx(expected.evaluate(Noise<M>{})).epsilon(tolerance));
}

constexpr double float_tolerance = 1e-5, bf16_tolerance = 3e-2;

TEST_CASE("a step in float32 is the reference's for each family, to 1e-5 in every tensor's gradient") {
  for (const double dropout : {0.0, 0.2}) {
    same_gradients<Classic, float>(float_tolerance, dropout, Recompute::none);
    same_gradients<Gpt2, float>(float_tolerance, dropout, Recompute::none);
    same_gradients<Factory, float>(float_tolerance, dropout, Recompute::none);
    same_gradients<Modern, float>(float_tolerance, dropout, Recompute::none);
    same_gradients<Consumer, float>(float_tolerance, dropout, Recompute::none);
  }
}

TEST_CASE("recomputation and accumulation change nothing of it") {
  for (const Recompute recompute : {Recompute::activations, Recompute::blocks}) {
    same_gradients<Gpt2, float>(float_tolerance, 0.1, recompute);
    same_gradients<Modern, float>(float_tolerance, 0.1, recompute, 3);
  }
}

TEST_CASE("a step in bf16 is near the reference's for each family") {
  same_gradients<Classic, bfloat16>(bf16_tolerance, 0, Recompute::none);
  same_gradients<Gpt2, bfloat16>(bf16_tolerance, 0.1, Recompute::activations);
  same_gradients<Modern, bfloat16>(bf16_tolerance, 0.1, Recompute::blocks);
  same_gradients<Consumer, bfloat16>(bf16_tolerance, 0, Recompute::none);
}

template <class M, class E> std::vector<float> trained(int steps, Recompute recompute = Recompute::none) {
  const TrainOptions options{.max_iters = 10, .batch_size = 2, .warmup_iters = 2, .dropout = 0.1, .recompute = recompute};
  auto ctx = context_for<E>(M::config, options.batch_size);
  Trainer<M, gpu::Context<E>> trainer(ctx, options);
  for (int i = 0; i < steps; ++i) trainer.step(Noise<M>{});
  return host_copy(ctx, trainer.weights());
}

TEST_CASE("equal runs give equal bits, with and without recomputation") {
  const auto first = trained<Modern, bfloat16>(4);
  CHECK(first == trained<Modern, bfloat16>(4));
  CHECK(first == trained<Modern, bfloat16>(4, Recompute::blocks));
  CHECK(trained<Gpt2, float>(4) == trained<Gpt2, float>(4, Recompute::activations));
}

TEST_CASE("a trainer that goes on from another's arenas ends with the same bits") {
  const TrainOptions options{.max_iters = 10, .batch_size = 2, .warmup_iters = 2, .dropout = 0.1};
  auto ctx = context_for<bfloat16>(Modern::config, 2);
  using OnGpu = Trainer<Modern, gpu::Context<bfloat16>>;
  OnGpu whole(ctx, options), first(ctx, options), second(ctx, options);
  for (int i = 0; i < 5; ++i) whole.step(Noise<Modern>{});
  for (int i = 0; i < 3; ++i) first.step(Noise<Modern>{});
  const auto hand_over = [&](std::span<float> to, std::span<float> from) {
    copy_in(ctx, to.data(), std::span<const float>(host_copy(ctx, from)));
  };
  hand_over(second.weights(), first.weights());
  hand_over(second.first_moments(), first.first_moments());
  hand_over(second.second_moments(), first.second_moments());
  second.resume_at(first.iteration(), first.updates(), first.skipped());
  for (int i = 0; i < 2; ++i) second.step(Noise<Modern>{});
  CHECK(host_copy(ctx, whole.weights()) == host_copy(ctx, second.weights()));
}

/// The reports and the weights of some steps, submitted one ahead or one by one.
template <class M, class E> std::pair<std::vector<double>, std::vector<float>> reported(bool ahead, int micro_batches) {
  const TrainOptions options{
      .max_iters = 9, .batch_size = 2, .grad_accum_steps = micro_batches, .warmup_iters = 3, .dropout = 0.1};
  auto ctx = context_for<E>(M::config, options.batch_size);
  Trainer<M, gpu::Context<E>> trainer(ctx, options);
  std::vector<double> numbers;
  const auto note = [&](const StepReport& r) {
    numbers.insert(numbers.end(), {static_cast<double>(r.iteration), r.loss, r.grad_norm, r.learning_rate});
  };
  constexpr int steps = 6;
  if (ahead) trainer.submit(Noise<M>{});
  for (int i = 1; i <= steps; ++i) {
    if (ahead && i < steps) trainer.submit(Noise<M>{});
    note(ahead ? trainer.report() : trainer.step(Noise<M>{}));
  }
  return {numbers, host_copy(ctx, trainer.weights())};
}

TEST_CASE("steps submitted one ahead are steps one by one, bit for bit") {
  CHECK(reported<Modern, bfloat16>(true, 1) == reported<Modern, bfloat16>(false, 1));
  CHECK(reported<Gpt2, float>(true, 3) == reported<Gpt2, float>(false, 3));
}

TEST_CASE("a step that is skipped counts for no moment's bias, on a GPU") {
  const TrainOptions options{.batch_size = 1, .warmup_iters = 1};
  auto ctx = context_for<float>(Classic::config, 1);
  using OnGpu = Trainer<Classic, gpu::Context<float>>;
  OnGpu trainer(ctx, options), resumed(ctx, options);
  const auto hand_over = [&](std::span<float> to, std::span<float> from) {
    copy_in(ctx, to.data(), std::span<const float>(host_copy(ctx, from)));
  };
  trainer.step(Noise<Classic>{});
  const auto weights = host_copy(ctx, trainer.weights());
  const float infinity = std::numeric_limits<float>::infinity();
  copy_in(ctx, trainer.weights().data(), std::span<const float>(&infinity, 1));
  trainer.submit(Noise<Classic>{});
  trainer.submit(Noise<Classic>{});
  CHECK(trainer.report().skipped);
  CHECK(trainer.report().skipped);
  copy_in(ctx, trainer.weights().data(), std::span<const float>(weights));
  hand_over(resumed.weights(), trainer.weights());
  hand_over(resumed.first_moments(), trainer.first_moments());
  hand_over(resumed.second_moments(), trainer.second_moments());
  resumed.resume_at(trainer.iteration(), 1, 2);
  CHECK_FALSE(trainer.step(Noise<Classic>{}).skipped);
  resumed.step(Noise<Classic>{});
  CHECK(host_copy(ctx, trainer.weights()) == host_copy(ctx, resumed.weights()));
}

TEST_CASE("training lowers the loss of a batch that is always the same") {
  struct Same {
    void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int, std::uint64_t, Purpose,
              std::uint64_t) const {
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = static_cast<std::int32_t>(i * 7 % 80);
        targets[i] = static_cast<std::int32_t>((i + 1) * 7 % 80);
      }
    }
  };
  const TrainOptions options{.max_iters = 30, .batch_size = 1, .learning_rate = 3e-3, .warmup_iters = 2};
  auto ctx = context_for<bfloat16>(Modern::config, 1);
  Trainer<Modern, gpu::Context<bfloat16>> trainer(ctx, options);
  const double before = trainer.step(Same{}).loss;
  StepReport last;
  for (int i = 0; i < 12; ++i) last = trainer.step(Same{});
  CHECK(before == Approx(std::log(80.0)).epsilon(0.05));
  CHECK(last.loss < before - 0.5);
  CHECK(last.skipped == false);
}

TEST_CASE("a step whose loss is not finite changes nothing") {
  const TrainOptions options{.batch_size = 1, .warmup_iters = 1};
  auto ctx = context_for<float>(Classic::config, 1);
  Trainer<Classic, gpu::Context<float>> trainer(ctx, options);
  auto weights = host_copy(ctx, trainer.weights());
  weights[0] = std::numeric_limits<float>::infinity();
  copy_in(ctx, trainer.weights().data(), std::span<const float>(weights));
  for (int i = 0; i < 3; ++i) CHECK(trainer.step(Noise<Classic>{}).skipped);
  CHECK(trainer.skipped_in_a_row() == 3);
  CHECK(host_copy(ctx, trainer.weights()) == weights);
}

/// The likeliest token after each of a growing text.
template <class M, class Context> std::vector<std::int32_t> greedy(Context& ctx, std::span<const typename Context::element> w) {
  Generator<M, Context> generator(ctx, w);
  std::vector<std::int32_t> text;
  generator.generate(std::vector<std::int32_t>{3, 1, 4, 1, 5, 9, 2}, 2 * M::config.ctx, {.temperature = 0},
                     [&](std::int32_t token) { return text.push_back(token), true; });
  return text;
}

template <class M> void writes_the_same() {
  // Weights large enough that the likeliest token is far from the next.
  auto numbers = test::normal(static_cast<std::size_t>(M::params.arena_size()), 11, 0.3);
  std::vector<float> weights(numbers.begin(), numbers.end());
  reference::Context<float> exact;
  auto ctx = gpu::Context<float>(0, gpu::generate_workspace(M::config, 1));
  test::OnDevice<float> there(weights);
  CHECK(greedy<M>(ctx, std::span<const float>(there.data(), weights.size())) ==
        greedy<M>(exact, std::span<const float>(weights)));
}

TEST_CASE("generation in float32 writes what the reference writes, past the end of the context") {
  writes_the_same<Gpt2>();
  writes_the_same<Modern>();
  writes_the_same<Consumer>();
}

}  // namespace

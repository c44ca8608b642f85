// What the backward pass computes again is what the forward pass had: on the cpu, gradients are equal bit for bit.
#include <cstring>

#include <batch.hpp>
#include <catch.hpp>
#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/reference/reference.hpp>
#include <tinygpt/train/trainer.hpp>

using namespace tinygpt;

namespace {

using Gpt2 = GPT<Layers<3>, Embd<20>, Heads<2>, Ctx<24>, Vocab<67>, Bias<all>, Activation<gelu_tanh>>;
using Erf = GPT<Layers<2>, Embd<36>, Heads<3>, Ctx<19>, Vocab<31>, Head<untied>>;
using Qwen = GPT<Layers<3>, Embd<24>, Heads<4, 2>, HeadDim<10>, Ctx<21>, Vocab<50>, Norm<rms>, Positions<rope>,
                 Activation<swiglu>, QkNorm>;
using One = GPT<Layers<1>, Embd<16>, Heads<1>, Ctx<8>, Vocab<10>, Activation<relu>>;

/// `error`: how far apart the gradients may be, relative to their norm.
template <class M, class Context> void same_gradient(Context& ctx, double error, int batch, int time, double dropout) {
  using E = typename Context::element;
  using S = typename Context::accumulator;
  const auto mask = DropoutPlan::at_rate(dropout, 3, 9, M::config.ctx);
  std::vector<E> weights;
  for (const double w : test::random_weights<M, double>(1)) weights.push_back(E(static_cast<float>(w)));
  const auto step = [&](Recompute recompute) {
    test::Step<M, Context> run(ctx, weights, batch, time, recompute);
    run.draw(5, true);
    run.run_forward(mask);
    const S loss = run.run_backward(mask);
    run.d.push_back(loss);
    return run.d;
  };
  const auto kept = step(Recompute::none);
  for (const Recompute recompute : {Recompute::activations, Recompute::blocks}) {
    const auto again = step(recompute);
    INFO("recompute " << static_cast<int>(recompute) << ", batch " << batch << " x " << time << ", dropout "
                      << dropout);
    REQUIRE(again.size() == kept.size());
    const auto n = static_cast<std::int64_t>(kept.size());
    CHECK(test::difference(again.data(), kept.data(), n) <= error * test::norm_of(kept.data(), n));
    if (error == 0) CHECK(std::memcmp(again.data(), kept.data(), kept.size() * sizeof(S)) == 0);
  }
  CHECK(test::norm_of(kept.data(), static_cast<std::int64_t>(kept.size())) > 0);
}

template <class Context> void all_models(Context& ctx, double error) {
  for (const double dropout : {0.0, 0.2}) {
    same_gradient<Gpt2>(ctx, error, 2, 24, dropout);
    same_gradient<Erf>(ctx, error, 3, 19, dropout);
    same_gradient<Qwen>(ctx, error, 2, 17, dropout);
    same_gradient<One>(ctx, error, 1, 5, dropout);
  }
}

// The order of Eigen's sums depends on where in memory a row lies: some 1e2 additions of 1.1e-16 each.
TEST_CASE("recomputing activations or whole blocks gives the same gradient on the reference") {
  reference::Context<double> ctx;
  all_models(ctx, 1e-14);
}

TEST_CASE("recomputing activations or whole blocks gives the same gradient, bit for bit, on the cpu") {
  cpu::Context single(2);
  all_models(single, 0);
  cpu::BasicContext<bfloat16> half(2);
  all_models(half, 0);
}

/// Batches of random tokens.
struct Noise {
  void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int, std::uint64_t seed, Purpose purpose,
            std::uint64_t number) const {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto bits = random_bits(seed, purpose, i, number);
      tokens[i] = static_cast<std::int32_t>(bits[0] % Qwen::config.vocab);
      targets[i] = static_cast<std::int32_t>(bits[1] % Qwen::config.vocab);
    }
  }
};

TEST_CASE("a trainer that recomputes ends with the same weights") {
  cpu::Context ctx(2);
  const auto train = [&](Recompute recompute) {
    Trainer<Qwen, cpu::Context> trainer(
        ctx, {.batch_size = 2, .grad_accum_steps = 2, .warmup_iters = 1, .dropout = 0.1, .recompute = recompute});
    for (int i = 0; i < 3; ++i) trainer.step(Noise{});
    return std::vector<float>(trainer.weights().begin(), trainer.weights().end());
  };
  const auto kept = train(Recompute::none);
  for (const Recompute recompute : {Recompute::activations, Recompute::blocks}) {
    const auto again = train(recompute);
    CHECK(std::memcmp(again.data(), kept.data(), kept.size() * sizeof(float)) == 0);
  }
}

}  // namespace

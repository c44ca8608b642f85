// The training step on the reference backend: what a transformer must do whatever its weights are.
#include <cmath>
#include <vector>

#include <tinygpt/reference/reference.hpp>
#include <tinygpt/train/step.hpp>

#include "catch.hpp"
#include "numbers.hpp"

using namespace tinygpt;

namespace {

using Model = GPT<Layers<3>, Embd<16>, Heads<4, 2>, Ctx<8>, Vocab<17>, Norm<rms>, Positions<rope>, Activation<swiglu>>;
constexpr int B = 3, T = 6, V = 17, C = 16;

struct Run {
  ActivationPlan plan;
  std::vector<double> weights = test::normal(static_cast<std::size_t>(Model::params.arena_size()), 1, 0.3);
  Arena<std::byte> arena;
  std::vector<std::int32_t> tokens = test::whole(B * T, V, 2), targets = test::whole(B * T, V, 3);
  Activations<Model, double> act;
  reference::Context<double> ctx;

  explicit Run(const ActivationPlan& p = Activations<Model, double>::plan(B, T))
      : plan(p), arena(plan.bytes()), act(arena.data(), plan, B, T) {
    fill_rope(ctx, act.rope_table(), Model::config.rope_base);
  }
  Params<Model, const double> params() const { return Params<Model, const double>(weights.data()); }
  TokenIds x() const { return TokenIds(tokens.data(), B, T); }
  TokenIds y() const { return TokenIds(targets.data(), B, T); }

  std::vector<double> normed() {
    forward<Model>(ctx, params(), act, x());
    const auto last = act.normed(2 * Model::config.layers);
    return {last.data(), last.data() + last.size()};
  }
  double loss(double scale) {
    forward<Model>(ctx, params(), act, x());
    double sum = 0;
    evaluate<Model>(ctx, &sum, params(), act, y(), scale);
    return sum;
  }
  double loss_and_gradient(std::vector<double>& gradient, double scale) {
    forward<Model>(ctx, params(), act, x());
    double sum = 0;
    gradient.assign(weights.size(), 0);
    backward<Model>(ctx, &sum, Params<Model, double>(gradient.data()), params(), act, x(), y(), scale);
    return sum;
  }
};

/// Row (b, t) of what `normed` gives.
std::vector<double> row(const std::vector<double>& x, int b, int t) {
  return {x.begin() + (b * T + t) * C, x.begin() + (b * T + t + 1) * C};
}

TEST_CASE("a token changes what follows it in its own sequence, and nothing else") {
  Run run;
  const std::vector<double> before = run.normed();
  const int b = 1, t = 3;
  run.tokens[b * T + t] = (run.tokens[b * T + t] + 1) % V;
  const std::vector<double> after = run.normed();
  for (int i = 0; i < B; ++i) {
    for (int j = 0; j < T; ++j) {
      INFO("sequence " << i << ", position " << j);
      CHECK((row(before, i, j) == row(after, i, j)) == (i != b || j < t));
    }
  }
}

TEST_CASE("the plan for inference, which keeps one layer, gives the loss of the plan for training") {
  Run training, inference(Activations<Model, double>::inference_plan(B, T));
  REQUIRE(inference.plan.bytes() < training.plan.bytes());
  CHECK(inference.loss(1.0 / (B * T)) == Approx(training.loss(1.0 / (B * T))).epsilon(1e-14));
}

TEST_CASE("the backward pass reports the loss of the forward pass") {
  Run run;
  std::vector<double> gradient;
  const double reported = run.loss_and_gradient(gradient, 0.1);
  CHECK(reported == run.loss(0.1));
}

TEST_CASE("ignored targets count neither in the loss nor in its gradient") {
  Run run;
  const double all_targets = run.loss(1);
  const std::vector<double> losses(run.act.losses().data(), run.act.losses().data() + B * T);
  double rest = 0;
  for (int i = 0; i < B * T; ++i) {
    if (i % 4 == 0) run.targets[static_cast<std::size_t>(i)] = ignored_target;
    else rest += losses[static_cast<std::size_t>(i)];
  }
  CHECK(run.loss(1) == Approx(rest).epsilon(1e-14));
  CHECK(rest < all_targets);

  run.targets.assign(B * T, ignored_target);
  std::vector<double> gradient;
  CHECK(run.loss_and_gradient(gradient, 1) == 0);
  CHECK(gradient == std::vector<double>(gradient.size(), 0));
}

TEST_CASE("dropout strikes the embedding, both branches of each layer and the attention weights, each by its own mask") {
  Run run;
  const auto plan = DropoutPlan::at_rate(0.4, 5, 6, Model::config.ctx);
  forward<Model>(run.ctx, run.params(), run.act, run.x(), plan);

  // What each branch adds to the residual stream; before the first norm that is the embedding.
  for (int n = 0; n <= 2 * Model::config.layers; ++n) {
    const Dropout mask = n == 0 ? plan.embedding() : n % 2 != 0 ? plan.attention_branch(n / 2) : plan.feed_forward_branch(n / 2 - 1);
    int disagree = 0;
    for (int i = 0; i < B * T * C; ++i) {
      const double added = run.act.residual(n).data()[i] - (n == 0 ? 0 : run.act.residual(n - 1).data()[i]);
      disagree += (added != 0) != mask.keeps(i / C / T * Model::config.ctx + i / C % T, i % C, C);
    }
    INFO("norm " << n);
    CHECK(disagree == 0);
  }

  // The first token of a sequence attends to itself alone: where that weight is dropped, a head puts out zeros.
  constexpr int Q = 4, D = 4;
  for (int l = 0; l < Model::config.layers; ++l) {
    for (int b = 0; b < B; ++b) {
      for (int h = 0; h < Q; ++h) {
        const bool kept = plan.attention(l).keeps((b * Q + h) * Model::config.ctx, 0, Model::config.ctx);
        CHECK((run.act.attn(l).data()[(b * T * Q + h) * D] != 0) == kept);
      }
    }
  }
}

TEST_CASE("with all weights at zero the loss is the logarithm of the vocabulary") {
  Run run;
  run.weights.assign(run.weights.size(), 0);
  CHECK(run.loss(1.0 / (B * T)) == Approx(std::log(17.0)).epsilon(1e-14));
}

TEST_CASE("a step against the gradient lowers the loss as much as the gradient says") {
  Run run;
  std::vector<double> gradient;
  const double before = run.loss_and_gradient(gradient, 1.0 / (B * T));
  const double h = 1e-6, squared = std::pow(test::norm2(gradient), 2);
  for (std::size_t i = 0; i < gradient.size(); ++i) run.weights[i] -= h * gradient[i];
  // To first order in h; the second-order term is h times the curvature along the gradient, below a per mille here.
  CHECK(before - run.loss(1.0 / (B * T)) == Approx(h * squared).epsilon(1e-3));
}

}  // namespace

// Every operation of the reference backend against dual numbers: embedding, norms, linear layers, loss.
#include "op_gradient.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

constexpr std::size_t N = B * T;

// Embedding.

template <class S, int C, int V, int Length>
struct EmbedRun {
  static std::vector<S> outputs(const std::vector<S>& token, const std::vector<S>& position,
                                const std::vector<std::int32_t>& ids, const Dropout& dropout) {
    reference::Context<S> ctx;
    std::vector<S> y(N * C);
    reference::embed(ctx, tokens<Embd<C>>(y), TokenIds(ids.data(), B, T), parameter<Vocab<V>, Embd<C>>(token),
                     parameter<Ctx<Length>, Embd<C>>(position), 0, dropout);
    return y;
  }
};

TEST_CASE("the gradient of the embedding agrees with dual numbers, repeated tokens included") {
  constexpr int C = 5, V = 4, Length = 8;
  const std::vector<std::int32_t> ids{1, 3, 1, 0, 1, 3};
  const std::vector<double> dy = normal(N * C, 9);
  for (bool learned : {true, false}) {
    for (const Dropout& dropout : {Dropout{}, some_dropout}) {
      const Arrays<double> in{normal(V * C, 1), learned ? normal(Length * C, 2) : std::vector<double>{}};
      const auto expected = dual_gradient(in, [&]<class S>(const Arrays<S>& x) {
        return dot(EmbedRun<S, C, V, Length>::outputs(x[0], x[1], ids, dropout), dy);
      });
      std::vector<double> d_token = filled(in[0].size(), earlier), d_position = filled(in[1].size(), earlier);
      reference::Context<double> ctx;
      reference::embed_backward(ctx, parameter<Vocab<V>, Embd<C>>(d_token), parameter<Ctx<Length>, Embd<C>>(d_position),
                                tokens<Embd<C>>(dy), TokenIds(ids.data(), B, T), dropout);
      check_gradient("token embedding", d_token, expected[0], earlier);
      if (learned) check_gradient("position embedding", d_position, expected[1], earlier);
    }
  }
}

// Norms.

constexpr double eps = 0.02;  // large enough to be seen in a gradient

/// Outputs of residual_norm: the normed tensor, then the residual stream itself.
template <NormKind K, int C, class S>
struct NormRun {
  std::vector<S> normed = std::vector<S>(N * C), residual = std::vector<S>(N * C), mean = std::vector<S>(N),
                 rstd = std::vector<S>(N);
  NormRun(const Arrays<S>& in, const Dropout& dropout) {
    reference::Context<S> ctx;
    reference::residual_norm<K>(ctx, tokens<Embd<C>>(normed), tokens<Embd<C>>(residual), statistics(mean),
                                statistics(rstd), tokens<Embd<C>>(in[0]), tokens<Embd<C>>(in[1]),
                                parameter<Embd<C>>(in[2]), parameter<Embd<C>>(in[3]), dropout, eps);
  }
};

template <NormKind K>
void norm_agrees(const Dropout& dropout) {
  constexpr int C = 7;
  // Inputs: residual, branch, weight, bias. The residual stream goes on after the norm, so it has a cotangent, too.
  const Arrays<double> in{normal(N * C, 1), normal(N * C, 2), normal(C, 3, 0.3, 1),
                          K == layer ? normal(C, 4) : std::vector<double>{}};
  const std::vector<double> d_normed = normal(N * C, 5), d_later = normal(N * C, 6);
  const auto expected = dual_gradient(in, [&]<class S>(const Arrays<S>& x) {
    const NormRun<K, C, S> run(x, dropout);
    return dot(run.normed, d_normed) + dot(run.residual, d_later);
  });

  NormRun<K, C, double> run(in, dropout);
  reference::Context<double> ctx;
  std::vector<double> d_residual = d_later, d_branch = filled(N * C, garbage), d_weight = filled(C, earlier),
                      d_bias = filled(in[3].size(), earlier);
  reference::residual_norm_backward<K>(ctx, tokens<Embd<C>>(d_residual), tokens<Embd<C>>(d_branch),
                                       parameter<Embd<C>>(d_weight), parameter<Embd<C>>(d_bias),
                                       tokens<Embd<C>>(d_normed), tokens<Embd<C>>(run.residual), statistics(run.mean),
                                       statistics(run.rstd), parameter<Embd<C>>(in[2]), dropout);
  check_gradient("residual", d_residual, expected[0]);
  check_gradient("branch", d_branch, expected[1]);
  check_gradient("weight", d_weight, expected[2], earlier);
  if (K == layer) check_gradient("bias", d_bias, expected[3], earlier);

  // The first norm of a model has no branch.
  std::vector<double> alone = d_later;
  reference::residual_norm_backward<K>(ctx, tokens<Embd<C>>(alone), {}, parameter<Embd<C>>(d_weight),
                                       parameter<Embd<C>>(d_bias), tokens<Embd<C>>(d_normed),
                                       tokens<Embd<C>>(run.residual), statistics(run.mean), statistics(run.rstd),
                                       parameter<Embd<C>>(in[2]), {});
  CHECK(alone == d_residual);
}

TEST_CASE("the gradient of the residual addition and LayerNorm agrees with dual numbers") {
  norm_agrees<layer>({});
  norm_agrees<layer>(some_dropout);
}

TEST_CASE("the gradient of the residual addition and RMSNorm agrees with dual numbers") {
  norm_agrees<rms>({});
  norm_agrees<rms>(some_dropout);
}

TEST_CASE("a norm alone gives what the residual addition and norm gives for a branch of zeros") {
  constexpr int C = 7;
  const Arrays<double> in{normal(N * C, 1), filled(N * C, 0), normal(C, 3, 0.3, 1), normal(C, 4)};
  const NormRun<layer, C, double> both(in, some_dropout);
  std::vector<double> y(N * C), mean(N), rstd(N);
  reference::Context<double> ctx;
  reference::norm<layer>(ctx, tokens<Embd<C>>(y), statistics(mean), statistics(rstd), tokens<Embd<C>>(in[0]),
                         parameter<Embd<C>>(in[2]), parameter<Embd<C>>(in[3]), eps);
  CHECK(y == both.normed);
  CHECK(mean == both.mean);
  CHECK(rstd == both.rstd);
  CHECK(in[0] == both.residual);
}

// Linear layers.

TEST_CASE("the gradient of a linear layer agrees with dual numbers, with and without bias") {
  constexpr int Rows = 6, Cols = 5;
  using W = Tensor<const double, Ffn<Rows>, Embd<Cols>>;
  for (bool biased : {true, false}) {
    const Arrays<double> in{normal(N * Cols, 1), normal(Rows * Cols, 2), biased ? normal(Rows, 3) : std::vector<double>{}};
    const std::vector<double> dy = normal(N * Rows, 4);
    const auto expected = dual_gradient(in, [&]<class S>(const Arrays<S>& x) {
      reference::Context<S> ctx;
      std::vector<S> y(N * Rows);
      reference::linear(ctx, tokens<Ffn<Rows>>(y), tokens<Embd<Cols>>(x[0]), parameter<Ffn<Rows>, Embd<Cols>>(x[1]),
                        parameter<Ffn<Rows>>(x[2]));
      return dot(y, dy);
    });
    std::vector<double> dx = filled(N * Cols, garbage), dw = filled(Rows * Cols, earlier), db = filled(in[2].size(), earlier);
    reference::Context<double> ctx;
    reference::linear_backward(ctx, tokens<Embd<Cols>>(dx), parameter<Ffn<Rows>, Embd<Cols>>(dw),
                               parameter<Ffn<Rows>>(db), tokens<Ffn<Rows>>(dy), tokens<Embd<Cols>>(in[0]),
                               W(in[1].data()));
    check_gradient("input", dx, expected[0]);
    check_gradient("weight", dw, expected[1], earlier);
    if (biased) check_gradient("bias", db, expected[2], earlier);
  }
}

template <ActivationKind K>
void linear_activation_agrees(bool biased) {
  constexpr int F = 6, C = 5;
  using Rows = FfnIn<F, K>;
  constexpr std::size_t R = Rows::value;
  const Arrays<double> in{normal(N * C, 1), normal(R * C, 2), biased ? normal(R, 3) : std::vector<double>{}};
  const std::vector<double> dy = normal(N * F, 4);
  const auto expected = dual_gradient(in, [&]<class S>(const Arrays<S>& x) {
    reference::Context<S> ctx;
    std::vector<S> pre(N * R), y(N * F);
    reference::linear_activation(ctx, tokens<Ffn<F>>(y), tokens<Rows>(pre), tokens<Embd<C>>(x[0]),
                                 parameter<Rows, Embd<C>>(x[1]), parameter<Rows>(x[2]));
    return dot(y, dy);
  });

  reference::Context<double> ctx;
  std::vector<double> pre(N * R), y(N * F);
  reference::linear_activation(ctx, tokens<Ffn<F>>(y), tokens<Rows>(pre), tokens<Embd<C>>(in[0]),
                               parameter<Rows, Embd<C>>(in[1]), parameter<Rows>(in[2]));
  std::vector<double> dx = filled(N * C, garbage), dw = filled(R * C, earlier), db = filled(in[2].size(), earlier);
  // The gradient of `pre` in its own memory, as the training step has it.
  reference::linear_activation_backward(ctx, tokens<Embd<C>>(dx), parameter<Rows, Embd<C>>(dw), parameter<Rows>(db),
                                        tokens<Rows>(pre), tokens<Ffn<F>>(dy), tokens<Rows>(pre),
                                        tokens<Embd<C>>(in[0]), parameter<Rows, Embd<C>>(in[1]));
  check_gradient("input", dx, expected[0]);
  check_gradient("weight", dw, expected[1], earlier);
  if (biased) check_gradient("bias", db, expected[2], earlier);
}

TEST_CASE("the gradient of a linear layer with each activation agrees with dual numbers") {
  for (bool biased : {true, false}) {
    linear_activation_agrees<relu>(biased);
    linear_activation_agrees<gelu>(biased);
    linear_activation_agrees<gelu_tanh>(biased);
    linear_activation_agrees<swiglu>(biased);
  }
}

// The loss.

TEST_CASE("the gradient of the loss agrees with dual numbers, targets ignored, chunks smaller than the batch") {
  constexpr int V = 7, C = 5;
  const double scale = 0.25;
  for (bool biased : {true, false}) {
    for (int chunk : {1, 4, static_cast<int>(N)}) {
      for (bool ignored : {true, false}) {
        std::vector<std::int32_t> targets = whole(N, V, 8);
        if (ignored) targets[0] = targets[4] = ignored_target;
        const TokenIds y(targets.data(), B, T);
        const Arrays<double> in{normal(N * C, 1), normal(V * C, 2), biased ? normal(V, 3) : std::vector<double>{}};
        const auto expected = dual_gradient(in, [&]<class S>(const Arrays<S>& x) {
          reference::Context<S> ctx;
          std::vector<S> losses(N), logits(static_cast<std::size_t>(chunk * V));
          S loss(0);
          reference::loss_head(ctx, &loss, statistics(losses), Tensor<S, Time<dyn>, Vocab<V>>(logits.data(), chunk),
                               tokens<Embd<C>>(x[0]), parameter<Vocab<V>, Embd<C>>(x[1]), parameter<Vocab<V>>(x[2]), y,
                               scale);
          return loss;
        });
        reference::Context<double> ctx;
        std::vector<double> losses(N), logits(static_cast<std::size_t>(chunk * V)), dx = filled(N * C, garbage),
                            dw = filled(V * C, earlier), db = filled(in[2].size(), earlier);
        double loss = 10;
        reference::loss_head_gradient(ctx, &loss, statistics(losses), tokens<Embd<C>>(dx),
                                      parameter<Vocab<V>, Embd<C>>(dw), parameter<Vocab<V>>(db),
                                      Tensor<double, Time<dyn>, Vocab<V>>(logits.data(), chunk),
                                      tokens<Embd<C>>(in[0]), parameter<Vocab<V>, Embd<C>>(in[1]),
                                      parameter<Vocab<V>>(in[2]), y, scale);
        check_gradient("input", dx, expected[0]);
        check_gradient("weight", dw, expected[1], earlier);
        if (biased) check_gradient("bias", db, expected[2], earlier);

        double only = 10;
        reference::loss_head(ctx, &only, statistics(losses), Tensor<double, Time<dyn>, Vocab<V>>(logits.data(), chunk),
                             tokens<Embd<C>>(in[0]), parameter<Vocab<V>, Embd<C>>(in[1]), parameter<Vocab<V>>(in[2]), y,
                             scale);
        CHECK(loss == only);
        CHECK(loss > 10);
      }
    }
  }
}

}  // namespace

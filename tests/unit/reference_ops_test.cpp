// The reference backend's operations on numbers that were worked out by hand.
#include <cmath>
#include <vector>

#include <tinygpt/reference/reference.hpp>

#include "catch.hpp"
#include "numbers.hpp"

using namespace tinygpt;

namespace {

using Doubles = std::vector<double>;
template <class... Axes>
using Tokens = Tensor<double, Batch<dyn>, Time<dyn>, Axes...>;
template <class... Axes>
using View = Tensor<const double, Axes...>;

reference::Context<double> ctx;

/// Equal up to a few roundings of double.
void check(const Doubles& actual, const Doubles& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO("element " << i);
    CHECK(std::abs(actual[i] - expected[i]) <= 1e-14 * std::max(1.0, std::abs(expected[i])));
  }
}

TEST_CASE("LayerNorm of (1, 3) is its weight times -1 and 1, plus its bias") {
  // mean 2, variance ((1-2)^2 + (3-2)^2) / 2 = 1 (divided by C, not C - 1).
  const double r = 1 / std::sqrt(1 + 0.125);
  const Doubles x{1, 3}, w{2, 3}, b{10, 20};
  Doubles y(2), mean(1), rstd(1);
  reference::norm<layer>(ctx, Tokens<Embd<2>>(y.data(), 1, 1), Tokens<>(mean.data(), 1, 1), Tokens<>(rstd.data(), 1, 1),
                         Tensor<const double, Batch<dyn>, Time<dyn>, Embd<2>>(x.data(), 1, 1), View<Embd<2>>(w.data()),
                         View<Embd<2>>(b.data()), 0.125);
  check(y, {10 - 2 * r, 20 + 3 * r});
  check(mean, {2});
  check(rstd, {r});
}

TEST_CASE("RMSNorm of (3, 4) divides by the root of 12.5 and the epsilon") {
  const double r = 1 / std::sqrt(12.5 + 0.5);
  const Doubles x{3, 4}, w{1, 2};
  Doubles y(2), rstd(1);
  reference::norm<rms>(ctx, Tokens<Embd<2>>(y.data(), 1, 1), Tokens<>(), Tokens<>(rstd.data(), 1, 1),
                       Tensor<const double, Batch<dyn>, Time<dyn>, Embd<2>>(x.data(), 1, 1), View<Embd<2>>(w.data()), {},
                       0.5);
  check(y, {3 * r, 8 * r});
  check(rstd, {r});
}

TEST_CASE("a linear layer is rows of the weight times the input, plus the bias") {
  const Doubles x{1, 2, 0, 1}, w{3, 4, 5, 6, 7, 8}, b{1, 0, -1};
  Doubles y(6);
  const auto run = [&](View<Ffn<3>> bias) {
    reference::linear(ctx, Tokens<Ffn<3>>(y.data(), 1, 2), Tensor<const double, Batch<dyn>, Time<dyn>, Embd<2>>(x.data(), 1, 2),
                      View<Ffn<3>, Embd<2>>(w.data()), bias);
    return y;
  };
  check(run({}), {3 + 8, 5 + 12, 7 + 16, 4, 6, 8});
  check(run(View<Ffn<3>>(b.data())), {12, 17, 22, 5, 6, 7});
}

TEST_CASE("the activations have their textbook values") {
  CHECK(reference::act<relu>(-2.0) == 0);
  CHECK(reference::act<relu>(2.0) == 2);
  // gelu(1) = Phi(1), gelu(-1) = -Phi(-1), from a table of the normal distribution.
  check({reference::act<gelu>(1.0), reference::act<gelu>(-1.0), reference::act<gelu>(0.0)},
        {0.84134474606854293, -0.15865525393145707, 0});
  // 1/2 (1 + tanh(sqrt(2/pi) 1.044715)) = 1/2 (1 + tanh(0.83356...)).
  check({reference::act<gelu_tanh>(1.0)}, {0.5 * (1 + std::tanh(0.79788456080286541 * 1.044715))});
  CHECK(reference::act<gelu_tanh>(1.0) == Approx(0.841192).epsilon(1e-6));
}

TEST_CASE("swiglu multiplies the gate's silu with up, gates before ups") {
  // sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2, sigmoid(-ln 3) = 1/4.
  const double ln3 = std::log(3.0);
  Doubles pre{ln3, 0, -ln3, 2, 5, 8}, y(3);
  reference::activation(ctx, Tokens<Ffn<3>>(y.data(), 1, 1), read(Tokens<FfnIn<3, swiglu>>(pre.data(), 1, 1)));
  check(y, {1.5 * ln3, 0, -2 * ln3});
}

TEST_CASE("RoPE rotates the two halves of a head against each other") {
  // D = 4, base 100: frequencies 100^0 = 1 and 100^(-1/2) = 1/10.
  Doubles table(3 * 4);
  fill_rope(ctx, Tensor<double, Ctx<3>, HeadDim<4>>(table.data()), 100);
  check(table, {1, 1, 0, 0, std::cos(1), std::cos(0.1), std::sin(1), std::sin(0.1), std::cos(2), std::cos(0.2), std::sin(2),
                std::sin(0.2)});
  Doubles x{1, 0, 0, 0}, y{0, 0, 0, 1};
  reference::rotate(x.data(), table.data() + 4, 4, 1);
  reference::rotate(y.data(), table.data() + 4, 4, 1);
  check(x, {std::cos(1), 0, std::sin(1), 0});
  check(y, {0, -std::sin(0.1), 0, std::cos(0.1)});
  reference::rotate(x.data(), table.data() + 4, 4, -1);
  check(x, {1, 0, 0, 0});
}

TEST_CASE("the projection normalises queries and keys, rotates them, and leaves values alone") {
  // One query, one key and one value head of size 2, each a copy of the input (3, 4); base irrelevant for D = 2.
  const Doubles x{3, 4, 3, 4}, w{1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1}, q_norm{1, 1}, k_norm{2, 2};
  Doubles table(4 * 2), y(12), raw(12), rstd(4);
  fill_rope(ctx, Tensor<double, Ctx<4>, HeadDim<2>>(table.data()), 100);
  using Rows = Qkv<1, 1, 2>;
  reference::qkv(ctx, Tokens<Rows>(y.data(), 1, 2), Tokens<Rows>(raw.data(), 1, 2), Tokens<PerHead<2>>(rstd.data(), 1, 2),
                 Tensor<const double, Batch<dyn>, Time<dyn>, Embd<2>>(x.data(), 1, 2), View<Rows, Embd<2>>(w.data()), {},
                 View<HeadDim<2>>(q_norm.data()), View<HeadDim<2>>(k_norm.data()), View<Ctx<4>, HeadDim<2>>(table.data()), 1, 0.25);
  const double r = 1 / std::sqrt(12.5 + 0.25);
  Doubles expected;
  for (double p : {1.0, 2.0}) {  // positions begin at first_position = 1
    const double a = r * (3 * std::cos(p) - 4 * std::sin(p)), b = r * (4 * std::cos(p) + 3 * std::sin(p));
    for (double e : {a, b, 2 * a, 2 * b, 3.0, 4.0}) expected.push_back(e);
  }
  check(y, expected);
  check(raw, {3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4});
  check(rstd, {r, r, r, r});
}

TEST_CASE("attention weighs the values seen so far by the softmax of the scores") {
  // Two query heads of size 1 that share keys (0, 1) and values (3, 6). The second token of head 0 asks with ln 2: its
  // scores are 0 and ln 2, its weights 1/3 and 2/3. Head 1 asks with 0: weights 1/2 and 1/2.
  const double ln2 = std::log(2.0);
  const Doubles qkv{5, 7, 0, 3, ln2, 0, 1, 6};
  Doubles y(4), lse(4);
  reference::attention(ctx, Tokens<QueryHeads<2, 1>>(y.data(), 1, 2), Tokens<PerHead<2>>(lse.data(), 1, 2),
                       Tensor<const double, Batch<dyn>, Time<dyn>, Qkv<2, 1, 1>>(qkv.data(), 1, 2), {});
  check(y, {3, 3, 1 + 4, 4.5});
  check(lse, {0, 0, std::log(3.0), ln2});
}

TEST_CASE("attention divides scores by the root of the head size") {
  // D = 4: the score 2 ln 2 counts as ln 2.
  const double q = 2 * std::log(2.0);
  const Doubles qkv{0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, q, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0};
  Doubles y(8), lse(2);
  reference::attention(ctx, Tokens<QueryHeads<1, 4>>(y.data(), 1, 2), Tokens<PerHead<1>>(lse.data(), 1, 2),
                       Tensor<const double, Batch<dyn>, Time<dyn>, Qkv<1, 1, 4>>(qkv.data(), 1, 2), {});
  check(y, {3, 0, 0, 0, 5, 0, 0, 0});
}

TEST_CASE("attention survives scores that overflow the exponential") {
  const Doubles qkv{0, 0, 3, 1, 1e5, 6};
  Doubles y(2), lse(2);
  reference::attention(ctx, Tokens<QueryHeads<1, 1>>(y.data(), 1, 2), Tokens<PerHead<1>>(lse.data(), 1, 2),
                       Tensor<const double, Batch<dyn>, Time<dyn>, Qkv<1, 1, 1>>(qkv.data(), 1, 2), {});
  check(y, {3, 6});
}

TEST_CASE("decoding in pieces gives what attention over the whole sequence gives") {
  constexpr int Q = 4, KV = 2, D = 3, T = 6;
  using Rows = Qkv<Q, KV, D>;
  using Whole = Tensor<const double, Batch<dyn>, Time<dyn>, Rows>;
  const Doubles qkv = test::normal(T * Rows::value, 1);
  Doubles expected(T * Q * D), lse(T * Q);
  reference::attention(ctx, Tokens<QueryHeads<Q, D>>(expected.data(), 1, T), Tokens<PerHead<Q>>(lse.data(), 1, T),
                       Whole(qkv.data(), 1, T), {});
  Doubles keys(8 * KV * D), values(8 * KV * D), y(T * Q * D);
  int first = 0;
  for (int piece : {3, 1, 2}) {  // a prompt, a token, two tokens
    reference::decode_attention(ctx, Tokens<QueryHeads<Q, D>>(y.data() + first * Q * D, 1, piece),
                                Tensor<double, Batch<dyn>, Ctx<8>, KvHeads<KV, D>>(keys.data(), 1),
                                Tensor<double, Batch<dyn>, Ctx<8>, KvHeads<KV, D>>(values.data(), 1),
                                Whole(qkv.data() + first * Rows::value, 1, piece), first);
    first += piece;
  }
  check(y, expected);
}

TEST_CASE("the loss is the logarithm of the softmax at the target, and nothing where the target is ignored") {
  // One input of 1 and weights ln 1 .. ln 4: the softmax is 1/10, 2/10, 3/10, 4/10.
  const Doubles x{1, 1, 1}, w{0, std::log(2.0), std::log(3.0), std::log(4.0)};
  const std::vector<std::int32_t> targets{3, ignored_target, 0};
  for (int chunk : {1, 2, 3}) {
    Doubles losses{9, 9, 9}, logits(12);
    double loss = 100;
    reference::loss_head(ctx, &loss, Tokens<>(losses.data(), 1, 3), Tensor<double, Time<dyn>, Vocab<4>>(logits.data(), chunk),
                         Tensor<const double, Batch<dyn>, Time<dyn>, Embd<1>>(x.data(), 1, 3), View<Vocab<4>, Embd<1>>(w.data()),
                         {}, TokenIds(targets.data(), 1, 3), 0.5);
    check(losses, {std::log(2.5), 0, std::log(10.0)});
    check({loss}, {100 + 0.5 * std::log(25.0)});
  }
}

TEST_CASE("the loss survives logits that overflow the exponential") {
  const Doubles x{1}, w{1000, 0};
  const std::vector<std::int32_t> targets{1};
  Doubles losses(1), logits(2);
  double loss = 0;
  reference::loss_head(ctx, &loss, Tokens<>(losses.data(), 1, 1), Tensor<double, Time<dyn>, Vocab<2>>(logits.data(), 1),
                       Tensor<const double, Batch<dyn>, Time<dyn>, Embd<1>>(x.data(), 1, 1), View<Vocab<2>, Embd<1>>(w.data()), {},
                       TokenIds(targets.data(), 1, 1), 1.0);
  check(losses, {1000});
}

TEST_CASE("an embedding is the sum of the token's row and the position's row") {
  const Doubles token{1, 2, 3, 4}, position{10, 20, 30, 40, 50, 60};
  const std::vector<std::int32_t> ids{1, 0};
  Doubles y(4);
  reference::embed(ctx, Tokens<Embd<2>>(y.data(), 1, 2), TokenIds(ids.data(), 1, 2), View<Vocab<2>, Embd<2>>(token.data()),
                   View<Ctx<3>, Embd<2>>(position.data()), 1, {});
  check(y, {3 + 30, 4 + 40, 1 + 50, 2 + 60});
}

}  // namespace

// The joined projection and attention against dual numbers.
#include "op_gradient.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

constexpr std::size_t N = B * T;

/// Inputs: x, weight, bias, q_norm, k_norm; the last three may be empty.
template <int Q, int KV, int D, int C, int Length, class S>
struct QkvRun {
  using Rows = Qkv<Q, KV, D>;
  std::vector<S> y = std::vector<S>(N * Rows::value), raw, rstd, rope;
  QkvRun(const Arrays<S>& in, bool rotates) {
    reference::Context<S> ctx;
    if (!in[3].empty()) raw.resize(y.size()), rstd.resize(N * (Q + KV));
    if (rotates) rope.resize(Length * D), fill_rope(ctx, table(), 100);
    reference::qkv(ctx, tokens<Rows>(y), saved(), tokens<PerHead<Q + KV>>(rstd), tokens<Embd<C>>(in[0]),
                   parameter<Rows, Embd<C>>(in[1]), parameter<Rows>(in[2]), parameter<HeadDim<D>>(in[3]),
                   parameter<HeadDim<D>>(in[4]), read(table()), 0, 0.02);
  }
  auto table() { return Tensor<S, Ctx<Length>, HeadDim<D>>(rope.empty() ? nullptr : rope.data()); }
  auto saved() {
    return raw.empty() ? Tensor<S, Batch<dyn>, Time<dyn>, Rows>{} : tokens<Rows>(raw);
  }
};

template <int Q, int KV, int D>
void qkv_agrees(bool biased, bool rotates, bool normalises) {
  constexpr int C = 5, Length = 8;
  using Rows = Qkv<Q, KV, D>;
  constexpr std::size_t R = Rows::value;
  INFO("heads " << Q << '/' << KV << " of " << D << ", bias " << biased << ", RoPE " << rotates << ", QK-norm " << normalises);
  const auto optional = [](bool there, std::size_t n, unsigned seed, double mean) {
    return there ? normal(n, seed, 0.5, mean) : std::vector<double>{};
  };
  const Arrays<double> in{normal(N * C, 1), normal(R * C, 2), optional(biased, R, 3, 0), optional(normalises, D, 4, 1),
                          optional(normalises, D, 5, 1)};
  const std::vector<double> dy = normal(N * R, 6);
  const auto expected = dual_gradient(
      in, [&]<class S>(const Arrays<S>& x) { return dot(QkvRun<Q, KV, D, C, Length, S>(x, rotates).y, dy); });

  QkvRun<Q, KV, D, C, Length, double> run(in, rotates);
  reference::Context<double> ctx;
  std::vector<double> d_qkv = dy, dx = filled(N * C, garbage), dw = filled(R * C, earlier),
                      db = filled(in[2].size(), earlier), dq = filled(in[3].size(), earlier),
                      dk = filled(in[4].size(), earlier);
  reference::qkv_backward(ctx, tokens<Embd<C>>(dx), parameter<Rows, Embd<C>>(dw), parameter<Rows>(db),
                          parameter<HeadDim<D>>(dq), parameter<HeadDim<D>>(dk), tokens<Rows>(d_qkv),
                          tokens<Embd<C>>(in[0]), parameter<Rows, Embd<C>>(in[1]), read(run.saved()),
                          tokens<PerHead<Q + KV>>(run.rstd), parameter<HeadDim<D>>(in[3]),
                          parameter<HeadDim<D>>(in[4]), read(run.table()));
  check_gradient("input", dx, expected[0]);
  check_gradient("weight", dw, expected[1], earlier);
  if (biased) check_gradient("bias", db, expected[2], earlier);
  if (normalises) {
    check_gradient("query norm", dq, expected[3], earlier);
    check_gradient("key norm", dk, expected[4], earlier);
  }
}

TEST_CASE("the gradient of the query, key and value projection agrees with dual numbers") {
  for (bool biased : {true, false}) {
    for (bool rotates : {true, false}) {
      for (bool normalises : {true, false}) {
        qkv_agrees<4, 2, 4>(biased, rotates, normalises);
        qkv_agrees<2, 1, 6>(biased, rotates, normalises);
      }
    }
  }
}

template <int Q, int KV, int D>
void attention_agrees(const Dropout& dropout) {
  using Rows = Qkv<Q, KV, D>;
  INFO("heads " << Q << '/' << KV << " of " << D << ", dropout " << dropout.threshold);
  const Arrays<double> in{normal(N * Rows::value, 1)};
  const std::vector<double> dy = normal(N * Q * D, 2);
  const auto run = [&]<class S>(const std::vector<S>& qkv, std::vector<S>& lse) {
    reference::Context<S> ctx;
    std::vector<S> y(N * Q * D);
    lse.resize(N * Q);
    reference::attention(ctx, tokens<QueryHeads<Q, D>>(y), tokens<PerHead<Q>>(lse), tokens<Rows>(qkv), dropout);
    return y;
  };
  const auto expected = dual_gradient(in, [&]<class S>(const Arrays<S>& x) {
    std::vector<S> lse;
    return dot(run(x[0], lse), dy);
  });

  std::vector<double> lse;
  const std::vector<double> y = run(in[0], lse);
  std::vector<double> d_qkv = filled(N * Rows::value, garbage);
  reference::Context<double> ctx;
  reference::attention_backward(ctx, tokens<Rows>(d_qkv), tokens<QueryHeads<Q, D>>(dy), tokens<QueryHeads<Q, D>>(y),
                                read(tokens<PerHead<Q>>(lse)), tokens<Rows>(in[0]), dropout);
  check_gradient("queries, keys and values", d_qkv, expected[0]);
}

TEST_CASE("the gradient of attention agrees with dual numbers, heads grouped or not, with dropout or without") {
  for (const Dropout& dropout : {Dropout{}, some_dropout}) {
    attention_agrees<2, 2, 3>(dropout);
    attention_agrees<4, 2, 3>(dropout);
    attention_agrees<4, 1, 5>(dropout);
  }
}

}  // namespace

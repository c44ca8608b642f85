// The same step on the reference backend in double: how far the float32 backend's gradients are from exact ones.
#include <cmath>
#include <cstdio>
#include <vector>

#include <tinygpt/reference/reference.hpp>
#include <tinygpt/tinygpt.hpp>
using namespace tinygpt;

using Model = GPT<Layers<2>, Embd<48>, Heads<3>, Ctx<32>, Vocab<64>, Bias<all>, Activation<gelu_tanh>>;

/// The gradient of one batch, on any backend: the code is the same, the context says where it runs.
template <class Context> std::vector<double> gradient(Context& ctx) {
  using E = typename Context::element;
  constexpr int B = 2, T = 32;
  constexpr ActivationPlan plan = Activations<Model, E>::plan(B, T);
  Arena<E> w(Model::params.arena_size()), d(w.size());
  Arena<std::byte> memory(plan.bytes());
  initialize<Model>(w.span(), 1);
  std::vector<int> tokens(B * T), targets(B * T);
  for (int i = 0; i < B * T; ++i) tokens[i] = i * 13 % 64, targets[i] = (i * 13 + 5) % 64;

  const Params<Model, const E> weights(w.data());
  const Activations<Model, E> act(memory.data(), plan, B, T);
  E loss = 0;
  forward<Model>(ctx, weights, act, TokenIds(tokens.data(), B, T));
  backward<Model>(ctx, &loss, Params<Model, E>(d.data()), weights, act, TokenIds(tokens.data(), B, T),
                  TokenIds(targets.data(), B, T), 1.0 / (B * T));
  return {d.span().begin(), d.span().end()};
}

int main() {
  reference::Context<double> exact;
  cpu::Context fast;
  const auto a = gradient(exact), b = gradient(fast);
  for (const ParamRow& row : Model::params) {
    double difference = 0, size = 0;
    for (auto i = row.offset; i < row.offset + row.layers * row.stride; ++i) {
      difference += std::pow(a[i] - b[i], 2);
      size += a[i] * a[i];
    }
    std::printf("%-20s |gradient| %.4e   relative difference %.1e\n", row.name, std::sqrt(size),
                std::sqrt(difference / size));
  }
}

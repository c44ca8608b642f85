// The trainer taken apart: forward, backward and the update as the three calls that they are, on your own data.
#include <cstdio>
#include <vector>

#include <tinygpt/tinygpt.hpp>
using namespace tinygpt;

// The Llama family: RMSNorm, RoPE, SwiGLU, two query heads to each key/value head.
using Model = GPT<Layers<2>, Embd<64>, Heads<4, 2>, Ctx<16>, Vocab<10>, Norm<rms>, Positions<rope>, Activation<swiglu>>;

int main() {
  constexpr int B = 8, T = 16;
  using Views = Activations<Model, float>;
  constexpr ActivationPlan plan = Views::plan(B, T);
  constexpr auto P = Model::params.arena_size();
  Arena<float> w(P), d(P), m(P), v(P);
  Arena<std::byte> memory(plan.bytes());
  initialize<Model>(w.span(), /*seed=*/1);

  cpu::Context ctx;
  const Views act(memory.data(), plan, B, T);
  fill_rope(ctx, act.rope_table(), Model::config.rope_base);

  // The task: each digit is the sum of the two before it, modulo 10.
  std::vector<int> tokens(B * T), targets(B * T);
  const TokenIds x(tokens.data(), B, T), y(targets.data(), B, T);
  std::int64_t updates = 0;
  for (int step = 1; step <= 300; ++step) {
    for (int b = 0; b < B; ++b) {
      int first = (step * 7 + b * 3) % 10, second = (step + b * b) % 10;
      for (int t = 0; t < T; ++t) {
        const int next = (first + second) % 10;
        tokens[b * T + t] = first;
        targets[b * T + t] = second;
        first = second, second = next;
      }
      targets[b * T] = ignored_target;  // the second digit cannot be foreseen, so it does not count
    }
    float loss = 0;
    double norm = 0;
    fill_zero(ctx, d.span());
    forward<Model>(ctx, Params<Model, const float>(w.data()), act, x);
    backward<Model>(ctx, &loss, Params<Model, float>(d.data()), Params<Model, const float>(w.data()), act, x, y,
                    1.0 / (B * (T - 1)));
    global_norm(ctx, &norm, d.span());
    const AdamW update{.learning_rate = 3e-3, .decay_end = Model::params.decay_end()};
    adamw(ctx, w.span(), {}, m.span(), v.span(), &updates, d.span(), &loss, &norm, &update);
    if (step % 50 == 0) std::printf("step %d  loss %.4f  gradient norm %.3f\n", step, static_cast<double>(loss), norm);
  }
}

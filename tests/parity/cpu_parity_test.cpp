// cpu against reference: every intermediate result, the loss and every gradient of whole models, over random shapes.
//
// The reference runs in double, so a difference is the cpu's own rounding. A float sum of K terms of like size is off
// by about 2^-24 sqrt(K) relative to its 2-norm; results here pass through at most `depth` such sums one after the
// other, whose errors add. K is the longest sum of the model and batch. The tolerance is the product, times 4 for the
// norms' and softmax's own amplification. A gradient whose terms cancel (that of QK-norm at T = 1 is exactly 0) has the
// error of its terms: it is compared with 5 % of what a tensor of its size has of the whole gradient, where that is
// more.
//
// In bf16 every result in memory is off by up to 2^-9 of itself, whatever the sums were; rounding errors of neighbours
// are independent, so a tensor's grows with the root of the number of roundings before it. Where terms cancel, there is
// more left of their error: a gradient is compared with 30 % of its share. ReLU has a corner, at which a rounding turns
// a slope on or off, so that the error there is as the root of 2^-9; QK-norm divides by small sums. Very few tokens, or
// four numbers to the token, are no statistics: bf16 is tried with more.
#include <algorithm>
#include <string>

#include <batch.hpp>
#include <catch.hpp>
#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/reference/reference.hpp>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

/// The same weights for both: as the narrower of the types has them.
template <Architecture M, class E, class S> std::vector<S> weights_in(std::uint64_t seed) {
  std::vector<S> w;
  for (const float x : random_weights<M, float>(seed)) w.push_back(S(static_cast<float>(E(x))));
  return w;
}

template <Architecture M, class E>
void compare(int batch, int time, double dropout_rate, bool ignore, std::uint64_t seed, cpu::BasicContext<E>& ctx) {
  constexpr const Config& c = M::config;
  constexpr bool single = std::is_same_v<E, float>;
  reference::Context<double> exact;
  Step<M, cpu::BasicContext<E>> fast(ctx, weights_in<M, E, E>(seed), batch, time);
  Step<M, reference::Context<double>> slow(exact, weights_in<M, E, double>(seed), batch, time);
  fast.draw(seed, ignore);
  slow.draw(seed, ignore);
  const auto dropout = DropoutPlan::at_rate(dropout_rate, seed, 3, c.ctx);

  const double longest = std::max({c.embd, c.ffn, c.vocab, c.ctx, batch * time});
  const int depth = 6 * c.layers + 4;
  const double amplified = c.activation == relu ? 15 : c.qk_norm ? 6 : 3;
  const double tolerance = single ? 4 * 0x1p-24 * std::sqrt(longest) * depth : amplified * 0x1p-9 * std::sqrt(depth);
  INFO("B = " << batch << ", T = " << time << ", dropout " << dropout_rate << ", seed " << seed);

  fast.run_forward(dropout);
  slow.run_forward(dropout);
  const auto same = [&](Buffer b) {
    const BufferRow& row = fast.plan[b];
    for (std::int64_t copy = 0; copy < row.copies; ++copy) {
      INFO(row.name << " " << copy);
      const auto at = [&](auto& step) {
        const BufferRow& its = step.plan[b];
        return step.memory.data() + its.offset + copy * its.stride;
      };
      const auto* expected = reinterpret_cast<const double*>(at(slow));
      const bool statistic =
          b == Buffer::norm_rstd || b == Buffer::qk_rstd || b == Buffer::lse || b == Buffer::rope_table;
      const double off = statistic ? difference(reinterpret_cast<const float*>(at(fast)), expected, row.size)
                                   : difference(reinterpret_cast<const E*>(at(fast)), expected, row.size);
      CHECK(off <= tolerance * norm_of(expected, row.size));
    }
  };
  for (Buffer b : {Buffer::residual, Buffer::normed, Buffer::norm_rstd, Buffer::qkv, Buffer::qk_raw, Buffer::qk_rstd,
                   Buffer::attn, Buffer::lse, Buffer::ffn_in, Buffer::hidden, Buffer::rope_table}) {
    same(b);
  }
  const double loss = slow.run_loss();
  CHECK(std::abs(fast.run_loss() - loss) <= tolerance * loss);
  CHECK(std::abs(fast.run_backward(dropout) - slow.run_backward(dropout)) <= tolerance * loss);
  const double whole = norm_of(slow.d.data(), M::params.arena_size());
  for (const ParamRow& row : M::params) {
    INFO("gradient of " << row.name);
    const std::int64_t n = row.layers * row.stride;
    const double share = (single ? 0.05 : 0.3) * whole *
                         std::sqrt(static_cast<double>(row.size()) / static_cast<double>(M::param_count));
    const double* expected = slow.d.data() + row.offset;
    CHECK(difference(fast.d.data() + row.offset, expected, n) <= tolerance * std::max(norm_of(expected, n), share));
  }
}

/// Shapes that are not multiples of anything, then random ones.
template <Architecture M, class E> void sweep_in(std::uint64_t seed) {
  cpu::BasicContext<E> ctx(2);
  constexpr int T = M::config.ctx;
  int shapes = 0;
  for (int batch : {1, 3}) {
    for (int time : {1, 2, 17, 63, T}) {
      if (time > T || (std::is_same_v<E, bfloat16> && batch * time < 50)) continue;
      compare<M, E>(batch, time, shapes % 2 == 0 ? 0.0 : 0.2, shapes % 3 == 0,
                    seed + static_cast<std::uint64_t>(shapes), ctx);
      ++shapes;
    }
  }
  for (; shapes < 24; ++shapes) {
    const auto bits = random_bits(seed, Purpose::sampling, static_cast<std::uint64_t>(shapes), 0);
    const int batch = 1 + static_cast<int>(bits[0] % 4), time = 1 + static_cast<int>(bits[1] % T);
    if (std::is_same_v<E, bfloat16> && batch * time < 50) continue;
    compare<M, E>(batch, time, shapes % 2 == 0 ? 0.0 : 0.3, shapes % 3 == 0, seed + static_cast<std::uint64_t>(shapes),
                  ctx);
  }
}

/// In both precisions; a model that differs from these in what both share is compared in float32 alone.
template <Architecture M> void sweep(std::uint64_t seed) {
  SECTION("float32") { sweep_in<M, float>(seed); }
  SECTION("bf16") { sweep_in<M, bfloat16>(seed); }
}

}  // namespace

TEST_CASE("the cpu backend agrees with the reference: GPT-2 family, every bias, tanh GELU, odd vocabulary") {
  sweep<GPT<Layers<2>, Embd<48>, Heads<3>, Ctx<70>, Vocab<257>, Bias<all | head>, Activation<gelu_tanh>>>(1000);
}
TEST_CASE("the cpu backend agrees with the reference: no biases, erf GELU, width that no vector divides") {
  sweep<GPT<Layers<2>, Embd<35>, Heads<5>, Ctx<65>, Vocab<67>, Ffn<45>>>(2000);
}
TEST_CASE("the cpu backend agrees with the reference: ReLU, untied head, one key/value head, no positions") {
  sweep<GPT<Layers<1>, Embd<40>, Heads<8, 1>, Ctx<130>, Vocab<31>, Activation<relu>, Head<untied>, Positions<none>,
            Bias<attn_out | ffn>>>(3000);
}
TEST_CASE("the cpu backend agrees with the reference: Llama family, grouped heads") {
  sweep<GPT<Layers<2>, Embd<64>, Heads<4, 2>, Ctx<66>, Vocab<257>, Norm<rms>, Positions<rope>, Activation<swiglu>>>(
      4000);
}
TEST_CASE("the cpu backend agrees with the reference: Qwen3 family, QK-norm, wide heads, odd feed-forward") {
  sweep<GPT<Layers<2>, Embd<24>, Heads<6, 3>, HeadDim<18>, Ctx<64>, Vocab<41>, Norm<rms>, Positions<rope, 500'000>,
            Activation<swiglu>, Ffn<61>, QkNorm, Head<untied>>>(5000);
}
TEST_CASE("the cpu backend agrees with the reference: RMSNorm with learned positions, QK-norm, a bias on its input") {
  sweep_in<GPT<Layers<1>, Embd<33>, Heads<3>, Ctx<63>, Vocab<19>, Norm<rms>, QkNorm, Bias<attn_in>>, float>(6000);
}
TEST_CASE("the cpu backend agrees with the reference: LayerNorm with RoPE and SwiGLU, heads larger than 64") {
  sweep<GPT<Layers<1>, Embd<80>, Heads<2, 1>, HeadDim<80>, Ctx<67>, Vocab<131>, Positions<rope>, Activation<swiglu>,
            Bias<all | head>>>(7000);
}
TEST_CASE("the cpu backend agrees with the reference: an epsilon that is seen, in RMSNorm and QK-norm") {
  sweep_in<GPT<Layers<2>, Embd<24>, Heads<4, 2>, Ctx<33>, Vocab<41>, Norm<rms, 0.05>, Positions<rope>,
               Activation<swiglu>, QkNorm>,
           float>(10'000);
}
TEST_CASE("the cpu backend agrees with the reference: an epsilon that is seen, in LayerNorm, and not in QK-norm") {
  sweep_in<GPT<Layers<1>, Embd<33>, Heads<3>, Ctx<20>, Vocab<19>, Norm<layer, 0.05>, QkNorm>, float>(11'000);
}
TEST_CASE("the cpu backend agrees with the reference: one head of four numbers, a two-word vocabulary") {
  sweep_in<GPT<Layers<1>, Embd<4>, Heads<1>, Ctx<17>, Vocab<2>, Ffn<3>, Bias<all>, Norm<rms>>, float>(8000);
}
TEST_CASE("the cpu backend agrees with the reference: four layers of the tiny presets' shape") {
  sweep_in<GPT<Layers<4>, Embd<96>, Heads<2>, Ctx<64>, Vocab<256>>, float>(9000);
}

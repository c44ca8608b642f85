// FLOPs and bytes are answers of the compiler.
#include <tinygpt/layout/activations.hpp>

namespace {

using namespace tinygpt;

// Worked by hand for L = 2, C = 8, H = 2, V = 11, F = 32: the products of one token are
//   qkv 8 x 24, output 8 x 8, feed-forward 8 x 32 and 32 x 8: 192 + 64 + 256 + 256 = 768 multiply-adds a layer,
//   scores and weighted sum 2 x 8 multiply-adds for each of (T + 1) / 2 positions on average, head 8 x 11.
using Tiny = GPT<Layers<2>, Embd<8>, Heads<2>, Ctx<7>, Vocab<11>>;
static_assert(Tiny::forward_flops_per_token(7) == 2 * (2 * 768 + 2 * 2 * 8 * 4) + 2 * 88);
static_assert(Tiny::train_flops_per_token(7) == 3 * Tiny::forward_flops_per_token(7));
static_assert(Tiny::forward_flops_per_token() == Tiny::forward_flops_per_token(7));

// Without attention's share it is two per weight: Kaplan et al. 2020, C_forward = 2N + 2 L T C.
using Gpt2 = GPT<Layers<12>, Embd<768>, Heads<12>, Ctx<1024>, Vocab<50257>>;
constexpr std::int64_t matrix_weights = 12LL * 12 * 768 * 768 + 50257LL * 768;
static_assert(Gpt2::forward_flops_per_token(1024) == 2 * matrix_weights + 12LL * 2 * 768 * 1025);

// Fewer key/value heads cost less; the queries still see the same number of positions.
static_assert(GPT<Layers<2>, Embd<64>, Heads<8, 2>, Ctx<32>>::forward_flops_per_token() <
              GPT<Layers<2>, Embd<64>, Heads<8>, Ctx<32>>::forward_flops_per_token());

// The activation plan is linear in T: nothing in it is T x T. The tables that do not depend on T drop
// out of differences, and at this batch the backward buffers are larger than the chunk of logits beside which they live.
constexpr std::int64_t elements(int batch, int time) { return ActivationPlan(Gpt2::config, batch, time).size(); }
static_assert(elements(32, 1024) - elements(32, 512) == 2 * (elements(32, 512) - elements(32, 256)));
static_assert(elements(16, 512) == elements(8, 1024));

// A question that a user may ask: do the activations of a batch of 8 fit into 4 GiB of float?
static_assert(elements(8, 1024) * 4 < 12LL << 30 && elements(8, 1024) * 4 > 4LL << 30);

// Inference keeps one layer's worth.
static_assert(ActivationPlan(Gpt2::config, 1, 64, ActivationPlan::For::inference).size() <
              ActivationPlan(Gpt2::config, 1, 64).size() / 6);

/// Buffers are aligned, inside the arena, and those that live at the same time do not overlap.
constexpr bool disjoint(const ActivationPlan& plan) {
  // The phases that share memory: feed-forward backward, attention backward, the loss head.
  constexpr auto phase = [](Buffer b) {
    if (b == Buffer::d_hidden) return 1;
    if (b == Buffer::d_attn || b == Buffer::d_qkv) return 2;
    return b == Buffer::logits ? 3 : 0;
  };
  for (int i = 0; i < static_cast<int>(Buffer::count); ++i) {
    const auto a = static_cast<Buffer>(i);
    const std::int64_t begin = plan[a].offset, end = begin + plan[a].copies * plan[a].size;
    if (begin % param_alignment != 0 || plan[a].size % param_alignment != 0 || end > plan.size()) return false;
    for (int j = 0; j < i; ++j) {
      const auto b = static_cast<Buffer>(j);
      if (phase(a) != 0 && phase(b) != 0 && phase(a) != phase(b)) continue;
      const std::int64_t other = plan[b].offset, other_end = other + plan[b].copies * plan[b].size;
      if (begin < other_end && other < end) return false;
    }
  }
  return true;
}
using Qwen = GPT<Layers<3>, Embd<10>, Heads<4, 2>, HeadDim<6>, Ctx<9>, Vocab<11>, Norm<rms>, Positions<rope>,
                 Activation<swiglu>, QkNorm>;
static_assert(disjoint(ActivationPlan(Tiny::config, 3, 5)));
static_assert(disjoint(ActivationPlan(Qwen::config, 3, 5)));
static_assert(disjoint(ActivationPlan(Gpt2::config, 8, 1024)));
static_assert(disjoint(ActivationPlan(Qwen::config, 1, 5, ActivationPlan::For::inference)));

}  // namespace

// FLOPs and bytes are answers of the compiler.
#include <tinygpt/cpu/memory.hpp>
#include <tinygpt/layout/memory.hpp>

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
// out of differences, and at this batch the backward buffers are larger than the chunk of logits beside which they
// live.
constexpr std::int64_t bytes(int batch, int time) { return ActivationPlan(Gpt2::config, batch, time).bytes(); }
static_assert(bytes(32, 1024) - bytes(32, 512) == 2 * (bytes(32, 512) - bytes(32, 256)));
static_assert(bytes(16, 512) == bytes(8, 1024));

// A question that a user may ask: do the activations of a batch of 8 fit into 4 GiB of float?
static_assert(bytes(8, 1024) < 12_GiB && bytes(8, 1024) > 4_GiB);

// Inference keeps one layer's worth.
static_assert(ActivationPlan(Gpt2::config, 1, 64, ActivationPlan::For::inference).bytes() <
              ActivationPlan(Gpt2::config, 1, 64).bytes() / 6);

// Questions that a user asks: what does it take to train and to generate, does it fit, and how large may a batch be?
using Grouped = GPT<Layers<16>, Embd<768>, Heads<12, 4>, Ctx<1024>>;
static_assert(fits<Grouped, 8_GiB>(Batch{8}) && !fits<Grouped, 8_GiB>(Batch{9}));
static_assert(fits<Grouped, 8_GiB>(Batch{16}, Time{512}));
static_assert(train_bytes<Grouped>(Batch{4}) > 4 * 4 * Grouped::param_count);
static_assert(generate_bytes<Grouped>() < 1_GiB && kv_cache_bytes(Grouped::config) == 32_MiB);

// The sum of its terms, each of which is what it says.
constexpr TrainMemory terms = train_memory(Grouped::config, Batch{4}, Time{1024});
static_assert(terms.weights == 4 * Grouped::params.arena_size() && terms.gradients == terms.weights);
static_assert(terms.moments == 2 * terms.weights && terms.batch == 2 * 4 * 1024 * 4);
static_assert(terms.activations == ActivationPlan(Grouped::config, 4, 1024).bytes() && terms.masters == 0);
static_assert(terms.total() == train_bytes<Grouped>(Batch{4}));

// In bf16: half for weights and activations (but for statistics and the loss), float for all that is summed up.
constexpr TrainMemory half = train_memory(Grouped::config, Batch{4}, Time{1024}, bf16);
static_assert(2 * half.weights == terms.weights && half.masters == terms.weights);
static_assert(half.gradients == terms.gradients && half.moments == terms.moments && half.batch == terms.batch);
// What lies before the chunk of logits, beside which only scratch of other phases lies.
constexpr std::int64_t kept_bytes(Precision precision) {
  constexpr auto purpose = ActivationPlan::For::training;
  return ActivationPlan(Grouped::config, 4, 1024, purpose, Recompute::none,
                        storage_of(precision))[Buffer::logits]
      .offset;
}
static_assert(2 * kept_bytes(bf16) > kept_bytes(float32) && 1.97 * kept_bytes(bf16) < 1.0 * kept_bytes(float32));

// The chunk of logits itself is for a CPU in float32 and for a GPU in bf16, never more than the batch has, and the memory
// to train counts it.
constexpr std::int64_t chunk(int vocab, std::int64_t tokens, Precision precision) {
  Config c = Grouped::config;
  c.vocab = vocab;
  return logits_rows(c, tokens, storage_of(precision));
}
static_assert(chunk(50257, 1 << 16, float32) == 256 && chunk(50257, 1 << 16, bf16) == (256_MiB / 2) / 50257);
static_assert(chunk(50257, 1 << 16, bf16) > 2048 && chunk(50257, 1 << 16, bf16) < 4096);
static_assert(chunk(256, 1 << 16, float32) == 8192 && chunk(256, 1 << 16, bf16) == 1 << 16);
static_assert(chunk(50257, 100, float32) == 100 && chunk(50257, 100, bf16) == 100 && chunk(1 << 20, 1000, bf16) == 256);
static_assert(half.activations - kept_bytes(bf16) ==
              aligned(2 * Grouped::config.vocab * chunk(Grouped::config.vocab, 4096, bf16)));
static_assert(half.activations - kept_bytes(bf16) < 256_MiB + buffer_alignment);
static_assert(generate_bytes<Grouped>(bf16) < generate_bytes<Grouped>() * 51 / 100);

// Recomputation: what is kept per token and layer shrinks to what storage.hpp says.
constexpr std::int64_t kept(Recompute recompute) {
  constexpr auto training = ActivationPlan::For::training;
  const auto at = [&](int layers) {
    Config c = Grouped::config;
    c.layers = layers;
    return ActivationPlan(c, 1, 1024, training, recompute).bytes();
  };
  return (at(17) - at(16)) / 1024;
}
constexpr std::int64_t statistics = 2 * 2 * 4;  // LayerNorm's mean and rstd, twice
static_assert(kept(Recompute::none) == 4 * (2 * 768 + 2 * 768 + 1280 + 768 + 3072 + 3072 + 12) + statistics);
static_assert(kept(Recompute::activations) == kept(Recompute::none) - 4 * (2 * 768 + 3072));
static_assert(kept(Recompute::blocks) == 4 * 768 + statistics);
static_assert(!fits<Grouped, 8_GiB>(Batch{10}) && fits<Grouped, 8_GiB>(Batch{10}, bf16) &&
              fits<Grouped, 8_GiB>(Batch{40}, bf16, Recompute::blocks));

// The activations of GPT-2 small in bf16 take at most 230 MiB for each sequence of 1024.
constexpr std::int64_t sequence(int batch) {
  return ActivationPlan(Gpt2::config, batch, 1024, ActivationPlan::For::training, Recompute::activations,
                        storage_of(bf16))
      .bytes();
}
static_assert(sequence(17) - sequence(16) < 230_MiB);

// The largest batch fits, and the next one does not.
constexpr bool largest_is_largest(const Config& c, std::int64_t bytes) {
  const Time<> time{c.ctx};
  const int batch = largest_batch(c, time, bytes);
  return (batch == 0 || train_bytes(c, Batch{batch}, time) <= bytes) && train_bytes(c, Batch{batch + 1}, time) > bytes;
}
static_assert(largest_is_largest(Grouped::config, 8_GiB) && largest_is_largest(Grouped::config, 80_GiB));
static_assert(largest_batch(Grouped::config, Time{1024}, 1_GiB) == 0);
static_assert(largest_batch(Tiny::config, Time{7}, train_bytes<Tiny>(Batch{5})) == 5);

// Texts that do not fit together are written fewer at once, and one is tried in any case.
constexpr std::int64_t texts(int count) { return generate_bytes<Gpt2>(bf16, Batch{count}); }
static_assert(texts_at_once(Gpt2::config, 8, texts(8), bf16) == 8 &&
              texts_at_once(Gpt2::config, 8, texts(8) - 1, bf16) == 4);
static_assert(texts_at_once(Gpt2::config, 7, texts(3), bf16) == 3 && texts_at_once(Gpt2::config, 8, 0, bf16) == 1);

// Memory is linear in the context: each doubling adds twice what the one before it added (but for learned positions,
// which are weights, and the loss head's chunk of logits, which has its full size from some thousand tokens on).
constexpr std::int64_t at_context(int time) { return train_bytes(Grouped::config, Batch{8}, Time{time}); }
static_assert(at_context(4096) - at_context(2048) == 2 * (at_context(2048) - at_context(1024)));

// The backend takes a mebibyte for each thread and four for products, whatever the model, until heads, groups or contexts
// are huge.
static_assert(cpu::train_workspace(Grouped::config, 512, 2) == 6_MiB);
static_assert(cpu::train_workspace(Grouped::config, 1 << 20, 2) > 24_MiB);
static_assert(cpu::generate_workspace(Grouped::config, 4) > 6_MiB && cpu::generate_workspace(Grouped::config, 4) <= 8_MiB);

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
    const std::int64_t begin = plan[a].offset, end = begin + plan[a].copies * plan[a].stride;
    if (begin % buffer_alignment != 0 || plan[a].stride % buffer_alignment != 0 || end > plan.bytes()) return false;
    for (int j = 0; j < i; ++j) {
      const auto b = static_cast<Buffer>(j);
      if (phase(a) != 0 && phase(b) != 0 && phase(a) != phase(b)) continue;
      const std::int64_t other = plan[b].offset, other_end = other + plan[b].copies * plan[b].stride;
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
constexpr auto training = ActivationPlan::For::training;
static_assert(disjoint(ActivationPlan(Qwen::config, 3, 5, training, Recompute::activations, storage_of(bf16))));
static_assert(disjoint(ActivationPlan(Qwen::config, 3, 5, training, Recompute::blocks)));

}  // namespace

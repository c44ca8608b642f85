// Options: their defaults, and that their order does not matter.
#include <tinygpt/model/gpt.hpp>

namespace {

using namespace tinygpt;

// Defaults.
constexpr Config small = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>>::config;
static_assert(small.layers == 2 && small.embd == 64 && small.query_heads == 4 && small.kv_heads == 4 && small.ctx == 32);
static_assert(small.head_dim == 16 && small.vocab == 50304 && small.ffn == 256);
static_assert(small.activation == gelu && small.norm == layer && small.positions == learned && !small.qk_norm);
static_assert(small.bias == BiasSet::none && small.head == tied);
static_assert(small.query_width() == 64 && small.kv_width() == 64 && small.qkv_width() == 192);

// The feed-forward width of swiglu is int(8C / 3), whichever side Activation stands.
static_assert(GPT<Layers<1>, Embd<1024>, Heads<16>, Ctx<32>, Activation<swiglu>>::config.ffn == 2730);
static_assert(GPT<Activation<swiglu>, Layers<1>, Embd<640>, Heads<10>, Ctx<32>>::config.ffn == 1706);
static_assert(GPT<Layers<1>, Embd<640>, Heads<10>, Ctx<32>, Activation<swiglu>>::config.ffn_in_width() == 2 * 1706);
static_assert(GPT<Layers<1>, Embd<64>, Heads<4>, Ctx<32>, Ffn<100>, Activation<swiglu>>::config.ffn == 100);

// HeadDim frees the head size from C / Hq.
constexpr Config wide = GPT<Layers<1>, Embd<64>, Heads<6, 2>, HeadDim<24>, Ctx<32>>::config;
static_assert(wide.query_width() == 144 && wide.kv_width() == 48 && wide.qkv_width() == 240);

// `none` answers two questions, and `head` is a bias that `all` does not include.
static_assert(GPT<Layers<1>, Embd<64>, Heads<4>, Ctx<32>, Positions<none>, Bias<none>>::config.positions ==
              PositionKind::none);
static_assert(!contains(all, head) && contains(all | head, head) && contains(all, attn_in) && contains(all, attn_out) &&
              contains(all, BiasSet::ffn));

// Any order gives the same config, parameter table and count, because nothing downstream sees the order. Each option
// here differs from its default; each is once first, once last and once beside every other one.
template <int Turns, class First, class... Rest>
constexpr bool every_rotation(Config expected) {
  if constexpr (Turns == 0) {
    return true;
  } else {
    return GPT<First, Rest...>::config == expected && every_rotation<Turns - 1, Rest..., First>(expected);
  }
}
using Forwards = GPT<Layers<3>, Embd<96>, Heads<6, 2>, Ctx<40>, HeadDim<32>, Vocab<500>, Ffn<200>, Activation<swiglu>,
                     Norm<rms, 1e-5>, Positions<rope, 50'000>, QkNorm, Bias<attn_in | ffn>, Head<untied>>;
using Backwards = GPT<Head<untied>, Bias<attn_in | ffn>, QkNorm, Positions<rope, 50'000>, Norm<rms, 1e-5>, Activation<swiglu>,
                      Ffn<200>, Vocab<500>, HeadDim<32>, Ctx<40>, Heads<6, 2>, Embd<96>, Layers<3>>;
static_assert(Forwards::config == Backwards::config);
static_assert(Forwards::config == Config{3, 96, 6, 2, 40, 32, 500, 200, swiglu, rms, 1e-5, rope, 50'000, true,
                                         attn_in | BiasSet::ffn, untied});
static_assert(every_rotation<13, Layers<3>, Embd<96>, Heads<6, 2>, Ctx<40>, HeadDim<32>, Vocab<500>, Ffn<200>,
                             Activation<swiglu>, Norm<rms, 1e-5>, Positions<rope, 50'000>, QkNorm, Bias<attn_in | ffn>,
                             Head<untied>>(Forwards::config));
static_assert(Forwards::param_count == Backwards::param_count);

// The epsilon of norms: the kind's own, unless another is given. QK-norm is an RMSNorm.
template <class... Norms> using Normed = GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<4>, Norms...>;
static_assert(Normed<>::config.norm_eps == 1e-5 && Normed<Norm<rms>>::config.norm_eps == 1e-6);
static_assert(Normed<Norm<layer, 1e-6>>::config.norm_eps == 1e-6 && Normed<Norm<rms, 1e-5>>::config.norm_eps == 1e-5);
static_assert(Normed<Norm<rms, 1e-5>>::config.qk_norm_eps() == 1e-5);
static_assert(Normed<Norm<layer, 1e-3>>::config.qk_norm_eps() == 1e-6);
static_assert(Normed<Norm<rms, 1e-5f>>::config == Normed<Norm<rms, 1e-5>>::config);
static_assert(Normed<Norm<rms, 9.999999747378752e-06>>::config.norm_eps == 1e-5);
static_assert(plain_norm_eps(9.999999960041972e-13) == 1e-12 && plain_norm_eps(0.10000000149011612) == 0.1);
static_assert(norm_eps_fits(1e-12) && norm_eps_fits(0.1) && !norm_eps_fits(0.999e-12) && !norm_eps_fits(0.1001));
static_assert(plain_norm_eps(1.2345678e-7) == 1.2345678e-7 && plain_norm_eps(2.5e-12) == 2.5e-12);
static_assert(std::is_same_v<Norm<rms>, Norm<rms, 1e-6>> && Normed<Norm<rms>>::config != Normed<Norm<rms, 1e-5>>::config);

// Code may ask.
static_assert(Architecture<Forwards> && !Architecture<int>);

}  // namespace

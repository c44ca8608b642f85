// Exact parameter counts of what is not a preset (a preset's is asserted beside its type, in presets/): each was worked
// out from the tensors' shapes, by the formulas
//   GPT-2 family, tied:  VC + TC + L(4C^2 + 2CF + 4C) + 2C, with biases on every linear + L(4C + F + C), untied + VC
//   Llama family, tied:  VC + L(2 C Hq Dh + 2 C Hkv Dh + 3CF + 2C [+ 2Dh with QK-norm]) + C
#include <tinygpt/model/gpt.hpp>

namespace {

using namespace tinygpt;

// The example of the documentation: grouped heads shrink the key and value projections.
static_assert(GPT<Layers<16>, Embd<768>, Heads<12, 4>, Ctx<1024>>::param_count == 140'133'888);

// The classic presets with an untied head; the presets themselves are tied.
template <int L, int C, int H, int T, int V>
constexpr std::int64_t classic = GPT<Layers<L>, Embd<C>, Heads<H>, Ctx<T>, Vocab<V>, Head<untied>>::param_count;
static_assert(classic<4, 192, 4, 128, 50304> == 21'114'240);
static_assert(classic<4, 192, 4, 128, 256> == 1'895'808);
static_assert(classic<6, 384, 6, 256, 50304> == 49'358'592);
static_assert(classic<6, 384, 6, 256, 256> == 10'921'728);
static_assert(classic<16, 768, 12, 256, 50304> == 190'760'448);
static_assert(classic<16, 896, 14, 256, 50304> == 244'573'952);
static_assert(classic<16, 1024, 16, 256, 50304> == 304'678'912);
static_assert(classic<16, 768, 12, 1024, 50304> == 191'350'272);
static_assert(classic<16, 896, 14, 1024, 50304> == 245'262'080);
static_assert(classic<16, 1024, 16, 1024, 50304> == 305'465'344);
static_assert(classic<24, 1024, 16, 1024, 50304> == 406'161'408);
static_assert(classic<24, 1280, 16, 1024, 50304> == 602'073'600);
static_assert(classic<24, 1536, 24, 1024, 50304> == 835'734'528);

// The classic presets as their projects built them: untied, with a bias on the head and on some of the linear layers.
template <int L, int C, int H, int T, ActivationKind A, BiasSet B>
constexpr std::int64_t as_built =
    GPT<Layers<L>, Embd<C>, Heads<H>, Ctx<T>, Head<untied>, Activation<A>, Bias<B>>::param_count;
static_assert(as_built<16, 768, 12, 256, relu, attn_out | ffn | head> == 190'884'480);
static_assert(as_built<16, 768, 12, 1024, gelu, ffn | head> == 191'462'016);
static_assert(as_built<24, 1536, 24, 1024, gelu, ffn | head> == 835'969'152);
static_assert(as_built<4, 192, 4, 128, relu, attn_out | ffn | head> == 21'169'152);

// The factory presets with a tied head; the presets themselves are untied, as their project builds them.
template <int L, int C, int H, int T, int V>
constexpr std::int64_t factory =
    GPT<Layers<L>, Embd<C>, Heads<H>, Ctx<T>, Vocab<V>, Bias<all>, Activation<gelu_tanh>>::param_count;
static_assert(factory<6, 512, 8, 256, 8'000> == 23'142'400);
static_assert(factory<12, 768, 12, 256, 16'000> == 97'540'608);
static_assert(factory<12, 768, 12, 512, 16'000> == 97'737'216);
static_assert(factory<24, 1024, 16, 512, 32'000> == 335'603'712);
static_assert(factory<32, 1600, 20, 1024, 50'000> == 1'065'347'200);

// The count of a very deep and wide one does not overflow: 96 x 12288 with 96 heads, about 175 thousand million.
static_assert(GPT<Layers<96>, Embd<12288>, Heads<96>, Ctx<2048>, Vocab<50257>, Bias<all>>::param_count ==
              174'604'259'328);

}  // namespace

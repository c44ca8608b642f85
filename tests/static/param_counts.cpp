// Exact parameter counts: each was worked out from the tensors' shapes, by the formulas
//   GPT-2 family, tied:  VC + TC + L(4C^2 + 2CF + 4C) + 2C, with biases on every linear + L(4C + F + C), untied + VC
//   Llama family, tied:  VC + L(2 C Hq Dh + 2 C Hkv Dh + 3CF + 2C [+ 2Dh with QK-norm]) + C
#include <tinygpt/model/gpt.hpp>

namespace {

using namespace tinygpt;

// The example of the documentation: grouped heads shrink the key and value projections.
static_assert(GPT<Layers<16>, Embd<768>, Heads<12, 4>, Ctx<1024>>::param_count == 140'133'888);

// GPT-2 as released: Radford et al. 2019.
template <int L, int C, int H>
constexpr std::int64_t gpt2 = GPT<Layers<L>, Embd<C>, Heads<H>, Ctx<1024>, Vocab<50257>, Bias<all>,
                                  Activation<gelu_tanh>>::param_count;
static_assert(gpt2<12, 768, 12> == 124'439'808);
static_assert(gpt2<24, 1024, 16> == 354'823'168);
static_assert(gpt2<36, 1280, 20> == 774'030'080);
static_assert(gpt2<48, 1600, 25> == 1'557'611'200);

// The classic shape: LayerNorm, learned positions, GELU, no biases; tied and untied.
template <int L, int C, int H, int T, int V, HeadKind K>
constexpr std::int64_t classic = GPT<Layers<L>, Embd<C>, Heads<H>, Ctx<T>, Vocab<V>, Head<K>>::param_count;
static_assert(classic<4, 192, 4, 128, 50304, tied> == 11'455'872);
static_assert(classic<4, 192, 4, 128, 50304, untied> == 21'114'240);
static_assert(classic<4, 192, 4, 128, 256, tied> == 1'846'656);
static_assert(classic<4, 192, 4, 128, 256, untied> == 1'895'808);
static_assert(classic<6, 384, 6, 256, 50304, tied> == 30'041'856);
static_assert(classic<6, 384, 6, 256, 50304, untied> == 49'358'592);
static_assert(classic<6, 384, 6, 256, 256, tied> == 10'823'424);
static_assert(classic<6, 384, 6, 256, 256, untied> == 10'921'728);
static_assert(classic<16, 768, 12, 256, 50304, tied> == 152'126'976);
static_assert(classic<16, 768, 12, 256, 50304, untied> == 190'760'448);
static_assert(classic<16, 896, 14, 256, 50304, tied> == 199'501'568);
static_assert(classic<16, 896, 14, 256, 50304, untied> == 244'573'952);
static_assert(classic<16, 1024, 16, 256, 50304, tied> == 253'167'616);
static_assert(classic<16, 1024, 16, 256, 50304, untied> == 304'678'912);
static_assert(classic<16, 768, 12, 1024, 50304, tied> == 152'716'800);
static_assert(classic<16, 768, 12, 1024, 50304, untied> == 191'350'272);
static_assert(classic<16, 896, 14, 1024, 50304, tied> == 200'189'696);
static_assert(classic<16, 896, 14, 1024, 50304, untied> == 245'262'080);
static_assert(classic<16, 1024, 16, 1024, 50304, tied> == 253'954'048);
static_assert(classic<16, 1024, 16, 1024, 50304, untied> == 305'465'344);
static_assert(classic<24, 1024, 16, 1024, 50304, tied> == 354'650'112);
static_assert(classic<24, 1024, 16, 1024, 50304, untied> == 406'161'408);
static_assert(classic<24, 1280, 16, 1024, 50304, tied> == 537'684'480);
static_assert(classic<24, 1280, 16, 1024, 50304, untied> == 602'073'600);
static_assert(classic<24, 1536, 24, 1024, 50304, tied> == 758'467'584);
static_assert(classic<24, 1536, 24, 1024, 50304, untied> == 835'734'528);

// The same as their projects built them: untied, with a bias on the head and on some of the linear layers.
template <int L, int C, int H, int T, ActivationKind A, BiasSet B>
constexpr std::int64_t as_built =
    GPT<Layers<L>, Embd<C>, Heads<H>, Ctx<T>, Head<untied>, Activation<A>, Bias<B>>::param_count;
static_assert(as_built<16, 768, 12, 256, relu, attn_out | ffn | head> == 190'884'480);
static_assert(as_built<16, 768, 12, 1024, gelu, ffn | head> == 191'462'016);
static_assert(as_built<24, 1536, 24, 1024, gelu, ffn | head> == 835'969'152);
static_assert(as_built<4, 192, 4, 128, relu, attn_out | ffn | head> == 21'169'152);

// GPT-2's shape with trained vocabularies.
template <int L, int C, int H, int T, int V, HeadKind K>
constexpr std::int64_t factory =
    GPT<Layers<L>, Embd<C>, Heads<H>, Ctx<T>, Vocab<V>, Head<K>, Bias<all>, Activation<gelu_tanh>>::param_count;
static_assert(factory<6, 512, 8, 256, 8'000, tied> == 23'142'400);
static_assert(factory<6, 512, 8, 256, 8'000, untied> == 27'238'400);
static_assert(factory<12, 768, 12, 256, 16'000, tied> == 97'540'608);
static_assert(factory<12, 768, 12, 256, 16'000, untied> == 109'828'608);
static_assert(factory<12, 768, 12, 512, 16'000, tied> == 97'737'216);
static_assert(factory<12, 768, 12, 512, 16'000, untied> == 110'025'216);
static_assert(factory<24, 1024, 16, 512, 32'000, tied> == 335'603'712);
static_assert(factory<24, 1024, 16, 512, 32'000, untied> == 368'371'712);
static_assert(factory<32, 1600, 20, 1024, 50'000, tied> == 1'065'347'200);
static_assert(factory<32, 1600, 20, 1024, 50'000, untied> == 1'145'347'200);

// The shape of Qwen3: RMSNorm, RoPE, SwiGLU, grouped heads, QK-norm.
template <int L, int C, int Q, int KV, int F>
constexpr std::int64_t modern =
    GPT<Layers<L>, Embd<C>, Heads<Q, KV>, HeadDim<64>, Ffn<F>, Ctx<2048>, Vocab<32768>, Norm<rms>, Positions<rope>,
        Activation<swiglu>, QkNorm>::param_count;
static_assert(modern<12, 768, 12, 4, 2560> == 114'839'808);
static_assert(modern<32, 768, 12, 4, 2048> == 226'546'432);
static_assert(modern<20, 768, 12, 4, 2304> == 162'825'472);
static_assert(modern<12, 1024, 16, 4, 2730> == 165'677'568);
static_assert(modern<24, 1024, 16, 4, 4096> == 398'512'128);
static_assert(modern<16, 768, 12, 4, 2304> == 135'293'696);
static_assert(modern<24, 768, 12, 4, 2048> == 176'201'472);
static_assert(modern<40, 768, 12, 4, 1792> == 253'298'432);
static_assert(modern<32, 768, 12, 4, 1792> == 207'672'064);
static_assert(modern<32, 768, 12, 4, 2304> == 245'420'800);
static_assert(modern<12, 768, 12, 4, 2048> == 100'684'032);
static_assert(modern<32, 640, 10, 5, 1706> == 165'155'456);
static_assert(modern<32, 896, 14, 7, 2389> == 311'985'024);

// The shape of Llama: the same without QK-norm.
template <int L, int C, int Q, int KV, int F, int T>
constexpr std::int64_t consumer = GPT<Layers<L>, Embd<C>, Heads<Q, KV>, HeadDim<64>, Ffn<F>, Ctx<T>, Vocab<32000>,
                                      Norm<rms>, Positions<rope>, Activation<swiglu>>::param_count;
static_assert(consumer<12, 1536, 24, 6, 6144, 384> == 459'707'904);
static_assert(consumer<20, 1536, 24, 6, 6144, 384> == 733'410'816);
static_assert(consumer<10, 1024, 16, 4, 4096, 256> == 184'833'024);
static_assert(consumer<20, 2048, 32, 8, 8192, 512> == 1'281'968'128);
static_assert(consumer<24, 2048, 32, 8, 8192, 512> == 1'525'254'144);
static_assert(consumer<28, 2560, 40, 10, 10240, 512> == 2'742'827'520);

// The count of a very deep and wide one does not overflow: 96 x 12288 with 96 heads, about 175 thousand million.
static_assert(GPT<Layers<96>, Embd<12288>, Heads<96>, Ctx<2048>, Vocab<50257>, Bias<all>>::param_count ==
              174'604'259'328);

}  // namespace

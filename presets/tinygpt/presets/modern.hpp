// The modern presets, the shape of Qwen3: RMSNorm, RoPE, SwiGLU, RMSNorm over each query and key head, grouped heads,
// no biases, tied head, V 32768, T 2048, no dropout.
//
// Training defaults: batch and accumulation are the table's, and its current model's 8 x 12 where it gives none. It
// gives no learning rates, warmup or steps: the rates are GPT-3's for these sizes (Brown et al. 2020, arXiv:2005.14165,
// table 2.1), the warmup 2,000, the steps those of 20 tokens per parameter (Hoffmann et al. 2022, arXiv:2203.15556).
#pragma once

#include <tinygpt/model/gpt.hpp>
#include <tinygpt/presets/preset.hpp>

namespace tinygpt::presets {

/// 12 x 768. Source: the modern table, where it is labelled "~125M".
using modern_125M = GPT<Layers<12>, Embd<768>, Heads<12, 4>, Ffn<2560>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                        Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_125M::param_count == 114'839'808);

/// The document's current model: 32 x 768. Source: the modern table, where it is labelled "~180M".
using modern_180M = GPT<Layers<32>, Embd<768>, Heads<12, 4>, Ffn<2048>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                        Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_180M::param_count == 226'546'432);

/// 20 x 768. Source: the modern table, where it is labelled "~140M, elsewhere ~155M".
using modern_140M = GPT<Layers<20>, Embd<768>, Heads<12, 4>, Ffn<2304>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                        Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_140M::param_count == 162'825'472);

/// Wide and shallow: 12 x 1024. Source: the modern table, where it is labelled "~130M".
using modern_130M_wide = GPT<Layers<12>, Embd<1024>, Heads<16, 4>, Ffn<2730>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                             Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_130M_wide::param_count == 165'677'568);

/// 24 x 1024. Source: the modern table, where it is labelled "~350M".
using modern_350M = GPT<Layers<24>, Embd<1024>, Heads<16, 4>, Ffn<4096>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                        Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_350M::param_count == 398'512'128);

/// 16 x 768. Source: the modern table, where it is labelled "~140M".
using modern_16L = GPT<Layers<16>, Embd<768>, Heads<12, 4>, Ffn<2304>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                       Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_16L::param_count == 135'293'696);

/// 24 x 768. Source: the modern table, where it is labelled "~165M".
using modern_24L = GPT<Layers<24>, Embd<768>, Heads<12, 4>, Ffn<2048>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                       Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_24L::param_count == 176'201'472);

/// 40 x 768. Source: the modern table, where it is labelled "~190M, elsewhere ~200M".
using modern_40L = GPT<Layers<40>, Embd<768>, Heads<12, 4>, Ffn<1792>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                       Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_40L::param_count == 253'298'432);

/// 32 x 768. Source: the modern table, where it is labelled "~170M".
using modern_32L_narrow = GPT<Layers<32>, Embd<768>, Heads<12, 4>, Ffn<1792>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                              Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_32L_narrow::param_count == 207'672'064);

/// 32 x 768. Source: the modern table, where it is labelled "~195M".
using modern_32L_wide = GPT<Layers<32>, Embd<768>, Heads<12, 4>, Ffn<2304>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                            Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_32L_wide::param_count == 245'420'800);

/// For a card of 16 GB: 12 x 768. Source: the modern table, where it is labelled "~115M".
using modern_115M = GPT<Layers<12>, Embd<768>, Heads<12, 4>, Ffn<2048>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                        Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_115M::param_count == 100'684'032);

/// 32 x 640. Source: the modern table, where it is labelled "~155M".
using modern_640 = GPT<Layers<32>, Embd<640>, Heads<10, 5>, Ffn<1706>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                       Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_640::param_count == 165'155'456);

/// 32 x 896. Source: the modern table, where it is labelled "~240M".
using modern_896 = GPT<Layers<32>, Embd<896>, Heads<14, 7>, Ffn<2389>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                       Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(modern_896::param_count == 311'985'024);

/// What the roadmap calls 400M: 32 x 1024. The width is a power of two; F is 8C / 3 rounded up to a multiple of 256,
/// which fp8 and tensor cores want; half as many key and value heads halve the cache. Source: this project.
using gpt_400M = GPT<Layers<32>, Embd<1024>, Heads<16, 8>, Ffn<2816>, Ctx<2048>, Vocab<32768>, Positions<rope>,
                     Norm<rms>, Activation<swiglu>, QkNorm>;
static_assert(gpt_400M::param_count == 411'112'448);

/// What the roadmap calls 1B: 28 x 1792. 64 columns for each layer, four query heads to a key and value head, and every
/// size a multiple of 64. Source: this project.
using gpt_1B = GPT<Layers<28>, Embd<1792>, Heads<28, 7>, Ffn<4864>, Ctx<2048>, Vocab<32768>, Positions<rope>, Norm<rms>,
                   Activation<swiglu>, QkNorm>;
static_assert(gpt_1B::param_count == 1'015'782'656);

inline constexpr Preset modern_presets[] = {
    {"modern_125M", "tinygpt::presets::modern_125M", "modern", "~125M", modern_125M::config,
     defaults(12, 8, 6e-4, 0.0, 2'000, 12'000), "the modern table"},
    {"modern_180M", "tinygpt::presets::modern_180M", "modern", "~180M", modern_180M::config,
     defaults(8, 12, 3e-4, 0.0, 2'000, 23'000), "the modern table"},
    {"modern_140M", "tinygpt::presets::modern_140M", "modern", "~140M, elsewhere ~155M", modern_140M::config,
     defaults(10, 10, 6e-4, 0.0, 2'000, 16'000), "the modern table"},
    {"modern_130M_wide", "tinygpt::presets::modern_130M_wide", "modern", "~130M", modern_130M_wide::config,
     defaults(8, 12, 6e-4, 0.0, 2'000, 17'000), "the modern table"},
    {"modern_350M", "tinygpt::presets::modern_350M", "modern", "~350M", modern_350M::config,
     defaults(4, 16, 3e-4, 0.0, 2'000, 61'000), "the modern table"},
    {"modern_16L", "tinygpt::presets::modern_16L", "modern", "~140M", modern_16L::config,
     defaults(8, 12, 6e-4, 0.0, 2'000, 14'000), "the modern table"},
    {"modern_24L", "tinygpt::presets::modern_24L", "modern", "~165M", modern_24L::config,
     defaults(8, 12, 6e-4, 0.0, 2'000, 18'000), "the modern table"},
    {"modern_40L", "tinygpt::presets::modern_40L", "modern", "~190M, elsewhere ~200M", modern_40L::config,
     defaults(8, 12, 3e-4, 0.0, 2'000, 26'000), "the modern table"},
    {"modern_32L_narrow", "tinygpt::presets::modern_32L_narrow", "modern", "~170M", modern_32L_narrow::config,
     defaults(8, 12, 3e-4, 0.0, 2'000, 21'000), "the modern table"},
    {"modern_32L_wide", "tinygpt::presets::modern_32L_wide", "modern", "~195M", modern_32L_wide::config,
     defaults(8, 12, 3e-4, 0.0, 2'000, 25'000), "the modern table"},
    {"modern_115M", "tinygpt::presets::modern_115M", "modern", "~115M", modern_115M::config,
     defaults(8, 12, 6e-4, 0.0, 2'000, 10'000), "the modern table"},
    {"modern_640", "tinygpt::presets::modern_640", "modern", "~155M", modern_640::config,
     defaults(8, 12, 6e-4, 0.0, 2'000, 17'000), "the modern table"},
    {"modern_896", "tinygpt::presets::modern_896", "modern", "~240M", modern_896::config,
     defaults(8, 12, 3e-4, 0.0, 2'000, 32'000), "the modern table"},
    {"gpt_400M", "tinygpt::presets::gpt_400M", "modern", "400M", gpt_400M::config,
     defaults(4, 24, 3e-4, 0.0, 2'000, 42'000), "this project, for the roadmap's 400M"},
    {"gpt_1B", "tinygpt::presets::gpt_1B", "modern", "1B", gpt_1B::config, defaults(2, 48, 2e-4, 0.0, 2'000, 103'000),
     "this project, for the roadmap's 1B"},
};

}  // namespace tinygpt::presets

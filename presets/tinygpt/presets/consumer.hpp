// The consumer presets, the shape of Llama, for the cards of players: RMSNorm, RoPE, SwiGLU, four query heads to a key
// and value head, no biases, tied head, V 32000.
//
// Training defaults: batch and accumulation are the table's; where it gives no accumulation, 8 as for the 12 GB card,
// and where it gives no batch, 4. It gives no learning rates, warmup or steps: the rates are GPT-3's for these sizes
// (Brown et al. 2020, arXiv:2005.14165, table 2.1), the warmup 2,000, the steps those of 20 tokens per parameter
// (Hoffmann et al. 2022, arXiv:2203.15556). No dropout, as in Llama.
#pragma once

#include <tinygpt/model/gpt.hpp>
#include <tinygpt/presets/preset.hpp>

namespace tinygpt::presets {

/// For a card of 12 GB: 12 x 1536. Source: the consumer table, where it is labelled "730M".
using consumer_12GB = GPT<Layers<12>, Embd<1536>, Heads<24, 6>, Ffn<6144>, Ctx<384>, Vocab<32'000>, Positions<rope>,
                          Norm<rms>, Activation<swiglu>>;
static_assert(consumer_12GB::param_count == 459'707'904);

/// What 730M needs: the 20 layers that consumer_12GB lacks. Source: the consumer table, corrected.
using consumer_730M = GPT<Layers<20>, Embd<1536>, Heads<24, 6>, Ffn<6144>, Ctx<384>, Vocab<32'000>, Positions<rope>,
                          Norm<rms>, Activation<swiglu>>;
static_assert(consumer_730M::param_count == 733'410'816);

/// For a card of 8 GB: 10 x 1024. Source: the consumer table, where it is labelled "~500M".
using consumer_8GB = GPT<Layers<10>, Embd<1024>, Heads<16, 4>, Ffn<4096>, Ctx<256>, Vocab<32'000>, Positions<rope>,
                         Norm<rms>, Activation<swiglu>>;
static_assert(consumer_8GB::param_count == 184'833'024);

/// For a card of 24 GB: 20 x 2048. Source: the consumer table, where it is labelled "~1.5B".
using consumer_24GB = GPT<Layers<20>, Embd<2048>, Heads<32, 8>, Ffn<8192>, Ctx<512>, Vocab<32'000>, Positions<rope>,
                          Norm<rms>, Activation<swiglu>>;
static_assert(consumer_24GB::param_count == 1'281'968'128);

/// What 1.5B needs: 24 layers of consumer_24GB. Source: the consumer table, corrected.
using consumer_1B5 = GPT<Layers<24>, Embd<2048>, Heads<32, 8>, Ffn<8192>, Ctx<512>, Vocab<32'000>, Positions<rope>,
                         Norm<rms>, Activation<swiglu>>;
static_assert(consumer_1B5::param_count == 1'525'254'144);

/// The largest: 28 x 2560. Source: the consumer table, where it is labelled "3B+".
using consumer_3B = GPT<Layers<28>, Embd<2560>, Heads<40, 10>, Ffn<10240>, Ctx<512>, Vocab<32'000>, Positions<rope>,
                        Norm<rms>, Activation<swiglu>>;
static_assert(consumer_3B::param_count == 2'742'827'520);

inline constexpr Preset consumer_presets[] = {
    {"consumer_12GB", "tinygpt::presets::consumer_12GB", "consumer", "730M", consumer_12GB::config,
     defaults(5, 8, 3e-4, 0.0, 2'000, 599'000), "the consumer table"},
    {"consumer_730M", "tinygpt::presets::consumer_730M", "consumer", "", consumer_730M::config,
     defaults(5, 8, 2.5e-4, 0.0, 2'000, 955'000), "the consumer table, corrected to its label"},
    {"consumer_8GB", "tinygpt::presets::consumer_8GB", "consumer", "~500M", consumer_8GB::config,
     defaults(3, 8, 6e-4, 0.0, 2'000, 602'000), "the consumer table"},
    {"consumer_24GB", "tinygpt::presets::consumer_24GB", "consumer", "~1.5B", consumer_24GB::config,
     defaults(8, 8, 2e-4, 0.0, 2'000, 782'000), "the consumer table"},
    {"consumer_1B5", "tinygpt::presets::consumer_1B5", "consumer", "", consumer_1B5::config,
     defaults(8, 8, 2e-4, 0.0, 2'000, 931'000), "the consumer table, corrected to its label"},
    {"consumer_3B", "tinygpt::presets::consumer_3B", "consumer", "3B+", consumer_3B::config,
     defaults(4, 8, 1.6e-4, 0.0, 2'000, 3'348'000), "the consumer table"},
};

}  // namespace tinygpt::presets

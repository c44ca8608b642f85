// The factory presets: GPT-2's shape with a trained vocabulary. Biases on every linear layer, the tanh form of GELU,
// and an untied head, as their project builds them; its documents name no parameter counts.
//
// Training defaults: batch (the larger of a range), steps and dropout are the table's; it gives learning rates from
// 1e-4 to 5e-4, of which the smaller models take the larger ones, and no warmup: 1,000 here, a tenth of the shortest
// run.
#pragma once

#include <tinygpt/model/gpt.hpp>
#include <tinygpt/presets/preset.hpp>

namespace tinygpt::presets {

/// 6 x 512, 256 tokens. Source: the factory table, untied as built.
using factory_small =
    GPT<Layers<6>, Embd<512>, Heads<8>, Ctx<256>, Vocab<8'000>, Bias<all>, Activation<gelu_tanh>, Head<untied>>;
static_assert(factory_small::param_count == 27'238'400);

/// 12 x 768, 256 tokens. Source: the factory table, untied as built.
using factory_base =
    GPT<Layers<12>, Embd<768>, Heads<12>, Ctx<256>, Vocab<16'000>, Bias<all>, Activation<gelu_tanh>, Head<untied>>;
static_assert(factory_base::param_count == 109'828'608);

/// 12 x 768, 512 tokens. Source: the factory table, untied as built.
using factory_base_512 =
    GPT<Layers<12>, Embd<768>, Heads<12>, Ctx<512>, Vocab<16'000>, Bias<all>, Activation<gelu_tanh>, Head<untied>>;
static_assert(factory_base_512::param_count == 110'025'216);

/// 24 x 1024, 512 tokens. Source: the factory table, untied as built.
using factory_large =
    GPT<Layers<24>, Embd<1024>, Heads<16>, Ctx<512>, Vocab<32'000>, Bias<all>, Activation<gelu_tanh>, Head<untied>>;
static_assert(factory_large::param_count == 368'371'712);

/// 32 x 1600, 1024 tokens. Source: the factory table, untied as built.
using factory_xl =
    GPT<Layers<32>, Embd<1600>, Heads<20>, Ctx<1024>, Vocab<50'000>, Bias<all>, Activation<gelu_tanh>, Head<untied>>;
static_assert(factory_xl::param_count == 1'145'347'200);

inline constexpr Preset factory_presets[] = {
    {"factory_small", "tinygpt::presets::factory_small", "factory", "", factory_small::config,
     defaults(16, 1, 5e-4, 0.1, 1'000, 10'000), "the factory table, untied as built"},
    {"factory_base", "tinygpt::presets::factory_base", "factory", "", factory_base::config,
     defaults(16, 1, 3e-4, 0.1, 1'000, 25'000), "the factory table, untied as built"},
    {"factory_base_512", "tinygpt::presets::factory_base_512", "factory", "", factory_base_512::config,
     defaults(16, 1, 3e-4, 0.1, 1'000, 25'000), "the factory table, untied as built"},
    {"factory_large", "tinygpt::presets::factory_large", "factory", "", factory_large::config,
     defaults(8, 1, 2e-4, 0.1, 1'000, 50'000), "the factory table, untied as built"},
    {"factory_xl", "tinygpt::presets::factory_xl", "factory", "", factory_xl::config,
     defaults(4, 1, 1e-4, 0.1, 1'000, 100'000), "the factory table, untied as built"},
};

}  // namespace tinygpt::presets

// The GPT-2 models as released: V 50257, T 1024, biases on every linear layer, the tanh form of GELU, tied head.
//
// Training defaults: 512 sequences a step and dropout 0.1 as in GPT-2; its report gives no learning rates, so they are
// GPT-3's for these sizes (Brown et al. 2020, arXiv:2005.14165, table 2.1); 2,000 steps of warmup; steps for 20 tokens
// per parameter (Hoffmann et al. 2022, arXiv:2203.15556).
#pragma once

#include <tinygpt/model/gpt.hpp>
#include <tinygpt/presets/preset.hpp>

namespace tinygpt::presets {

/// GPT-2 small: 12 x 768. Source: Radford et al. 2019, table 2; released hparams.
using gpt2 = GPT<Layers<12>, Embd<768>, Heads<12>, Ctx<1024>, Vocab<50257>, Bias<all>, Activation<gelu_tanh>>;
static_assert(gpt2::param_count == 124'439'808);

/// GPT-2 medium: 24 x 1024. Source: Radford et al. 2019, table 2; released hparams.
using gpt2_medium = GPT<Layers<24>, Embd<1024>, Heads<16>, Ctx<1024>, Vocab<50257>, Bias<all>, Activation<gelu_tanh>>;
static_assert(gpt2_medium::param_count == 354'823'168);

/// GPT-2 large: 36 x 1280. Source: Radford et al. 2019, table 2; released hparams.
using gpt2_large = GPT<Layers<36>, Embd<1280>, Heads<20>, Ctx<1024>, Vocab<50257>, Bias<all>, Activation<gelu_tanh>>;
static_assert(gpt2_large::param_count == 774'030'080);

/// GPT-2 XL: 48 x 1600. Source: Radford et al. 2019, table 2; released hparams.
using gpt2_xl = GPT<Layers<48>, Embd<1600>, Heads<25>, Ctx<1024>, Vocab<50257>, Bias<all>, Activation<gelu_tanh>>;
static_assert(gpt2_xl::param_count == 1'557'611'200);

inline constexpr Preset gpt2_presets[] = {
    {"gpt2", "tinygpt::presets::gpt2", "gpt2", "124M", gpt2::config, defaults(8, 64, 6e-4, 0.1, 2'000, 5'000),
     "Radford et al. 2019, table 2; released hparams"},
    {"gpt2_medium", "tinygpt::presets::gpt2_medium", "gpt2", "355M", gpt2_medium::config,
     defaults(8, 64, 3e-4, 0.1, 2'000, 14'000), "Radford et al. 2019, table 2; released hparams"},
    {"gpt2_large", "tinygpt::presets::gpt2_large", "gpt2", "774M", gpt2_large::config,
     defaults(4, 128, 2.5e-4, 0.1, 2'000, 30'000), "Radford et al. 2019, table 2; released hparams"},
    {"gpt2_xl", "tinygpt::presets::gpt2_xl", "gpt2", "1.5B", gpt2_xl::config,
     defaults(2, 256, 2e-4, 0.1, 2'000, 59'000), "Radford et al. 2019, table 2; released hparams"},
};

}  // namespace tinygpt::presets

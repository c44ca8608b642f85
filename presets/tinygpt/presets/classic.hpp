// The classic presets: LayerNorm with weight and bias, learned positions, GELU (erf), F = 4C, no biases on the linear
// layers, tied head. The *_char ones read single characters: a vocabulary of 256 bytes.
//
// Training defaults: batch, dropout and learning rate are those of the table. It gives no warmup and no steps: these
// are 100 and 5,000 for what a laptop trains, and 2,000 and 20 tokens per parameter (Hoffmann et al. 2022,
// arXiv:2203.15556) from 150M on.
#pragma once

#include <tinygpt/model/gpt.hpp>
#include <tinygpt/presets/preset.hpp>

namespace tinygpt::presets {

/// A first model for a laptop with GPT-2's vocabulary: 4 x 192. Source: the classic table, where it is labelled "~11M".
using tiny = GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>>;
static_assert(tiny::param_count == 11'455'872);

/// A first model for a laptop: 4 x 192. Source: the classic table, where it is labelled "~3M".
using tiny_char = GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>, Vocab<256>>;
static_assert(tiny_char::param_count == 1'846'656);

/// The documents' default: 6 x 384. Source: the classic table, where it is labelled "~40M".
using small = GPT<Layers<6>, Embd<384>, Heads<6>, Ctx<256>>;
static_assert(small::param_count == 30'041'856);

/// The usual character model: 6 x 384; the shape is also nanoGPT's train_shakespeare_char. Source: the classic table,
/// where it is labelled "~22M".
using small_char = GPT<Layers<6>, Embd<384>, Heads<6>, Ctx<256>, Vocab<256>>;
static_assert(small_char::param_count == 10'823'424);

/// 16 x 768, 256 tokens. Source: the classic table, where it is labelled "~150M".
using classic_150M = GPT<Layers<16>, Embd<768>, Heads<12>, Ctx<256>>;
static_assert(classic_150M::param_count == 152'126'976);

/// 16 x 896, 256 tokens. Source: the classic table, where it is labelled "~200M".
using classic_200M = GPT<Layers<16>, Embd<896>, Heads<14>, Ctx<256>>;
static_assert(classic_200M::param_count == 199'501'568);

/// 16 x 1024, 256 tokens. Source: the classic table, where it is labelled "~250M".
using classic_250M = GPT<Layers<16>, Embd<1024>, Heads<16>, Ctx<256>>;
static_assert(classic_250M::param_count == 253'167'616);

/// 16 x 768, 1024 tokens. Source: the classic table, where it is labelled "~150M".
using classic_150M_1024 = GPT<Layers<16>, Embd<768>, Heads<12>, Ctx<1024>>;
static_assert(classic_150M_1024::param_count == 152'716'800);

/// 16 x 896, 1024 tokens. Source: the classic table, where it is labelled "~200M".
using classic_200M_1024 = GPT<Layers<16>, Embd<896>, Heads<14>, Ctx<1024>>;
static_assert(classic_200M_1024::param_count == 200'189'696);

/// 16 x 1024, 1024 tokens. Source: the classic table, where it is labelled "~250M".
using classic_250M_1024 = GPT<Layers<16>, Embd<1024>, Heads<16>, Ctx<1024>>;
static_assert(classic_250M_1024::param_count == 253'954'048);

/// 24 x 1024, 1024 tokens. Source: the classic table, where it is labelled "~350M".
using classic_350M_1024 = GPT<Layers<24>, Embd<1024>, Heads<16>, Ctx<1024>>;
static_assert(classic_350M_1024::param_count == 354'650'112);

/// 24 x 1280, 1024 tokens. Source: the classic table, where it is labelled "~500M".
using classic_500M_1024 = GPT<Layers<24>, Embd<1280>, Heads<16>, Ctx<1024>>;
static_assert(classic_500M_1024::param_count == 537'684'480);

/// 24 x 1536, 1024 tokens. Source: the classic table, where it is labelled "~750M".
using classic_750M_1024 = GPT<Layers<24>, Embd<1536>, Heads<24>, Ctx<1024>>;
static_assert(classic_750M_1024::param_count == 758'467'584);

inline constexpr Preset classic_presets[] = {
    {"tiny", "tinygpt::presets::tiny", "classic", "~11M", tiny::config, defaults(16, 1, 3e-4, 0.1, 100, 5'000),
     "the classic table"},
    {"tiny_char", "tinygpt::presets::tiny_char", "classic", "~3M", tiny_char::config,
     defaults(16, 1, 3e-4, 0.1, 100, 5'000), "the classic table"},
    {"small", "tinygpt::presets::small", "classic", "~40M", small::config, defaults(32, 1, 3e-4, 0.2, 100, 5'000),
     "the classic table"},
    {"small_char", "tinygpt::presets::small_char", "classic", "~22M", small_char::config,
     defaults(32, 1, 3e-4, 0.2, 100, 5'000), "the classic table"},
    {"150M", "tinygpt::presets::classic_150M", "classic", "~150M", classic_150M::config,
     defaults(32, 1, 3e-4, 0.2, 2'000, 371'000), "the classic table"},
    {"200M", "tinygpt::presets::classic_200M", "classic", "~200M", classic_200M::config,
     defaults(32, 1, 3e-4, 0.2, 2'000, 487'000), "the classic table"},
    {"250M", "tinygpt::presets::classic_250M", "classic", "~250M", classic_250M::config,
     defaults(32, 1, 3e-4, 0.2, 2'000, 618'000), "the classic table"},
    {"150M_1024", "tinygpt::presets::classic_150M_1024", "classic", "~150M", classic_150M_1024::config,
     defaults(24, 1, 3e-4, 0.2, 2'000, 124'000), "the classic table"},
    {"200M_1024", "tinygpt::presets::classic_200M_1024", "classic", "~200M", classic_200M_1024::config,
     defaults(20, 1, 3e-4, 0.2, 2'000, 195'000), "the classic table"},
    {"250M_1024", "tinygpt::presets::classic_250M_1024", "classic", "~250M", classic_250M_1024::config,
     defaults(16, 1, 3e-4, 0.2, 2'000, 310'000), "the classic table"},
    {"350M_1024", "tinygpt::presets::classic_350M_1024", "classic", "~350M", classic_350M_1024::config,
     defaults(12, 1, 3e-4, 0.2, 2'000, 577'000), "the classic table"},
    {"500M_1024", "tinygpt::presets::classic_500M_1024", "classic", "~500M", classic_500M_1024::config,
     defaults(8, 1, 3e-4, 0.2, 2'000, 1'313'000), "the classic table"},
    {"750M_1024", "tinygpt::presets::classic_750M_1024", "classic", "~750M", classic_750M_1024::config,
     defaults(16, 1, 3e-4, 0.1, 2'000, 926'000), "the classic table"},
    {"750M_1024_domain_adapt", "tinygpt::presets::classic_750M_1024", "classic", "~750M", classic_750M_1024::config,
     defaults(12, 1, 5e-5, 0.1, 1'790, 17'900), "the classic table; 750M_1024 trained further on a domain's text"},
};

}  // namespace tinygpt::presets

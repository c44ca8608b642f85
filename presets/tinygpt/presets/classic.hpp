// The classic presets: LayerNorm with weight and bias, learned positions, GELU (erf), F = 4C, no biases on the linear
// layers, tied head. The *_char ones read single characters: a vocabulary of 256 bytes.
#pragma once

#include <tinygpt/model/gpt.hpp>

namespace tinygpt::presets {

/// A first model for a laptop: 4 x 192. Source: the classic character-model table; its label, "~3M", is that of a model
/// with a larger vocabulary.
using tiny_char = GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>, Vocab<256>>;
static_assert(tiny_char::param_count == 1'846'656);

/// The usual character model: 6 x 384. Source: the classic character-model table, where it is labelled "~22M"; the shape
/// is also nanoGPT's train_shakespeare_char.
using small_char = GPT<Layers<6>, Embd<384>, Heads<6>, Ctx<256>, Vocab<256>>;
static_assert(small_char::param_count == 10'823'424);

}  // namespace tinygpt::presets

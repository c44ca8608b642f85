#pragma once

#include <tinygpt/model/gpt.hpp>

namespace my {
using namespace tinygpt;
using model = GPT<Layers<2>, Embd<32>, Heads<4>, Ctx<16>, Vocab<256>>;
}  // namespace my

// A model of the consumer's own, which becomes a program by one line of CMake.
#pragma once

#include <tinygpt/model/gpt.hpp>

namespace my {

using model =
    tinygpt::GPT<tinygpt::Layers<2>, tinygpt::Embd<32>, tinygpt::Heads<2>, tinygpt::Ctx<16>, tinygpt::Vocab<256>>;

}  // namespace my

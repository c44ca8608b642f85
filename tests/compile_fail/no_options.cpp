// rule: has_layers
// sentence: GPT<...> needs Layers<N>: add the number of transformer blocks
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

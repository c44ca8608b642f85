// rule: has_embd
// sentence: GPT<...> needs Embd<C>: add the width of the residual stream
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Heads<4>, Ctx<32>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

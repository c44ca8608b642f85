// rule: has_heads
// sentence: GPT<...> needs Heads<Hq> or Heads<Hq, Hkv>: add the number of attention heads
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Ctx<32>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

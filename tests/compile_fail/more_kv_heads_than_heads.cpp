// rule: kv_heads_divide_query_heads
// sentence: Heads<Hq, Hkv>: Hq must be a multiple of Hkv: each key/value head serves a whole group
// names: Heads<4, 8>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<1>, Embd<768>, Heads<4, 8>, Ctx<32>>;
#else
using Model = GPT<Layers<1>, Embd<768>, Heads<4, 4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

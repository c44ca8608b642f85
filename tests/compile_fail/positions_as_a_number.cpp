// rule: positions_are_known
// sentence: Positions<K> must be learned, rope or none
// names: Positions<
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Positions<10000>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Positions<rope, 10000>>;
#endif

static_assert(Model::param_count > 0);

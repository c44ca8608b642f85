// rule: positions_are_known
// sentence: Positions<K> must be learned, rope or none
// names: alibi
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Positions<alibi>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Positions<rope>>;
#endif

static_assert(Model::param_count > 0);

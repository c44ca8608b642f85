// rule: head_is_known
// sentence: Head<K> must be tied or untied
// names: Head<true
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Head<true>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Head<tied>>;
#endif

static_assert(Model::param_count > 0);

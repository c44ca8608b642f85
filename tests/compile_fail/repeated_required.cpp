// rule: is_given_once
// sentence: each option of GPT<...> may be given once: remove one of the two
// names: Layers<2>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Layers<3>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

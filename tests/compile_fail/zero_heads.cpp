// rule: is_positive
// sentence: every size in GPT<...> must be 1 or more: correct the option
// names: Heads<0
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<1>, Embd<64>, Heads<0>, Ctx<32>>;
#else
using Model = GPT<Layers<1>, Embd<64>, Heads<4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

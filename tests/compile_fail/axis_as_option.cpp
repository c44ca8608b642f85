// rule: is_an_option
// sentence: every argument of GPT<...> must be an option: write 
// names: FfnIn<256
#include <tinygpt/layout/axes.hpp>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, FfnIn<256, gelu>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Vocab<256>>;
#endif

static_assert(Model::param_count > 0);

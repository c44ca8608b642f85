// rule: heads_divide_embd
// sentence: Embd<C> must be a multiple of Heads<Hq>: head_dim = C / Hq must be whole, or give HeadDim<D>
// names: Embd<770> ; Heads<12
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<1>, Embd<770>, Heads<12>, Ctx<32>>;
#else
using Model = GPT<Layers<1>, Embd<770>, Heads<12>, HeadDim<64>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

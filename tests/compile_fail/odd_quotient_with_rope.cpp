// rule: rope_needs_even_head_dim
// sentence: Positions<rope> needs an even head size: RoPE rotates pairs: give HeadDim<D> with D even
// names: HeadDim<85>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<1>, Embd<1020>, Heads<12>, Ctx<32>, Positions<rope>>;
#else
using Model = GPT<Layers<1>, Embd<1020>, Heads<12>, HeadDim<84>, Ctx<32>, Positions<rope>>;
#endif

static_assert(Model::param_count > 0);

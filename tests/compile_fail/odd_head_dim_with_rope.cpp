// rule: rope_needs_even_head_dim
// sentence: Positions<rope> needs an even head size: RoPE rotates pairs: give HeadDim<D> with D even
// names: HeadDim<15>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<1>, Embd<64>, Heads<4>, HeadDim<15>, Ctx<32>, Positions<rope>>;
#else
using Model = GPT<Layers<1>, Embd<64>, Heads<4>, HeadDim<15>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

// rule: activation_is_known
// sentence: Activation<K> must be relu, gelu, gelu_tanh or swiglu
// names: silu
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Activation<silu>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Activation<swiglu>>;
#endif

static_assert(Model::param_count > 0);

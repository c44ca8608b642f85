// rule: norm_epsilon_is_small
// sentence: the epsilon of Norm<K, Epsilon> must be from 1e-12 to 0.1
// names: Norm<
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<1>, Embd<64>, Heads<4>, Ctx<32>, Norm<layer, -1e-5>>;
#else
using Model = GPT<Layers<1>, Embd<64>, Heads<4>, Ctx<32>, Norm<layer, 1e-5>>;
#endif

static_assert(Model::param_count > 0);

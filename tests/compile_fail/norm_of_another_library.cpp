// rule: norm_is_known
// sentence: Norm<K> must be layer or rms
// names: rmsnorm
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Norm<rmsnorm>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Norm<rms>>;
#endif

static_assert(Model::param_count > 0);

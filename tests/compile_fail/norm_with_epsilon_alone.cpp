// rule: norm_is_known
// sentence: Norm<K> must be layer or rms
// names: Norm<
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Norm<1>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Norm<rms, 1e-5>>;
#endif

static_assert(Model::param_count > 0);

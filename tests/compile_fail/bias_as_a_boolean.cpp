// rule: bias_is_known
// sentence: Bias<B> must be none, all, or attn_in
// names: Bias<true
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Bias<true>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Bias<all>>;
#endif

static_assert(Model::param_count > 0);

// rule: has_ctx
// sentence: GPT<...> needs Ctx<T>: add the context length in tokens
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

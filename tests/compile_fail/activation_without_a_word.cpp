// rule: activation_is_known
// sentence: a new kind needs its word in config/words.hpp
// names: Activation<
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Activation<ActivationKind(99)>>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Activation<ActivationKind(3)>>;
#endif

static_assert(Model::param_count > 0);

// rule: is_an_option
// sentence: every argument of GPT<...> must be an option: write Layers<>, Embd<>, .* QkNorm, Bias<> or Head<>
// names: int
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;

#ifdef BAD
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, int>;
#else
using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>>;
#endif

static_assert(Model::param_count > 0);

// Two layers that do not fit: the feed-forward network's hidden units where the output projection wants attention's.
// g++: could not convert .* from .*Ffn<32>.* to .*QueryHeads<2, 4>
// clang++: no known conversion from .*Ffn<32>.* to .*QueryHeads<2, 4>.* for 3rd argument
#include <tinygpt/layout/activations.hpp>
#include <tinygpt/reference/linear.hpp>

using namespace tinygpt;
using Model = GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<4>, Vocab<11>>;

void f(reference::Context<float>& ctx, const Activations<Model, float>& act, const Params<Model, const float>& w) {
#ifdef BAD
  reference::linear(ctx, act.branch(), act.hidden(0), w.attn_out_weight(0), w.attn_out_bias(0));
#else
  reference::linear(ctx, act.branch(), act.attn(0), w.attn_out_weight(0), w.attn_out_bias(0));
#endif
}

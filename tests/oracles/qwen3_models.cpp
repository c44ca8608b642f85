// Models of Qwen3ForCausalLM's shapes.
#include "model_numbers.hpp"

namespace tinygpt::oracle {

template <class... Options> using Qwen3 = GPT<Activation<swiglu>, Norm<rms>, QkNorm, Options...>;

using qwen3_small = Qwen3<Layers<2>, Embd<48>, Heads<4, 2>, Ctx<80>, Vocab<256>, Positions<rope, 1'000'000>>;
using qwen3_wide_heads = Qwen3<Layers<2>, Embd<32>, Heads<4, 1>, Ctx<80>, HeadDim<16>, Vocab<263>, Ffn<96>,
                               Positions<rope, 1'000'000>, Head<untied>>;
using qwen3_full = Qwen3<Layers<3>, Embd<24>, Heads<2>, Ctx<80>, Vocab<99>, Positions<rope>>;
using qwen3_biases =
    Qwen3<Layers<1>, Embd<40>, Heads<4, 2>, Ctx<80>, Vocab<128>, Positions<rope>, Bias<attn_in | attn_out>>;
using qwen3_epsilon = GPT<Activation<swiglu>, QkNorm, Layers<2>, Embd<48>, Heads<4, 2>, Ctx<80>, Vocab<127>,
                          Norm<rms, 1e-3>, Positions<rope>>;

std::vector<Entry> qwen3_models() {
  return {Numbers<qwen3_small>::entry("qwen3_small"), Numbers<qwen3_wide_heads>::entry("qwen3_wide_heads"),
          Numbers<qwen3_full>::entry("qwen3_full"), Numbers<qwen3_biases>::entry("qwen3_biases"),
          Numbers<qwen3_epsilon>::entry("qwen3_epsilon")};
}

}  // namespace tinygpt::oracle

// Models of LlamaForCausalLM's shapes.
#include "model_numbers.hpp"

namespace tinygpt::oracle {

template <class... Options> using Llama = GPT<Activation<swiglu>, Norm<rms>, Options...>;

using llama_small = Llama<Layers<2>, Embd<48>, Heads<4>, Ctx<80>, Vocab<256>, Positions<rope>>;
using llama_grouped =
    Llama<Layers<3>, Embd<32>, Heads<4, 2>, Ctx<80>, Vocab<259>, Ffn<88>, Positions<rope>, Head<untied>>;
using llama_wide_heads = Llama<Layers<2>, Embd<36>, Heads<3, 1>, Ctx<80>, HeadDim<20>, Vocab<101>, Positions<rope>>;
using llama_biases = Llama<Layers<2>, Embd<32>, Heads<2>, Ctx<80>, Vocab<128>, Ffn<60>, Positions<rope, 500'000>,
                           Bias<all>, Head<untied>>;

std::vector<Entry> llama_models() {
  return {Numbers<llama_small>::entry("llama_small"), Numbers<llama_grouped>::entry("llama_grouped"),
          Numbers<llama_wide_heads>::entry("llama_wide_heads"), Numbers<llama_biases>::entry("llama_biases")};
}

}  // namespace tinygpt::oracle

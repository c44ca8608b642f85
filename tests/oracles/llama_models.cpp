// Models of LlamaForCausalLM's shapes.
#include "model_numbers.hpp"

namespace tinygpt::oracle {

template <class... Options> using Llama = GPT<Activation<swiglu>, Options...>;

using llama_small = Llama<Layers<2>, Embd<48>, Heads<4>, Ctx<80>, Vocab<256>, Norm<rms>, Positions<rope>>;
using llama_grouped =
    Llama<Layers<3>, Embd<32>, Heads<4, 2>, Ctx<80>, Vocab<259>, Ffn<88>, Norm<rms>, Positions<rope>, Head<untied>>;
using llama_wide_heads =
    Llama<Layers<2>, Embd<36>, Heads<3, 1>, Ctx<80>, HeadDim<20>, Vocab<101>, Norm<rms>, Positions<rope>>;
using llama_biases = Llama<Layers<2>, Embd<32>, Heads<2>, Ctx<80>, Vocab<128>, Ffn<60>, Norm<rms>,
                           Positions<rope, 500'000>, Bias<all>, Head<untied>>;
/// Llama 3's epsilon, with which the others' would differ by some 1e-3.
using llama_epsilon = Llama<Layers<2>, Embd<48>, Heads<4, 2>, Ctx<80>, Vocab<127>, Norm<rms, 1e-5>,
                            Positions<rope, 500'000>, Head<untied>>;

std::vector<Entry> llama_models() {
  return {Numbers<llama_small>::entry("llama_small"), Numbers<llama_grouped>::entry("llama_grouped"),
          Numbers<llama_wide_heads>::entry("llama_wide_heads"), Numbers<llama_biases>::entry("llama_biases"),
          Numbers<llama_epsilon>::entry("llama_epsilon")};
}

}  // namespace tinygpt::oracle

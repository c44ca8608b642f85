// Models of GPT2LMHeadModel's shapes.
#include "model_numbers.hpp"

namespace tinygpt::oracle {

using gpt2_small = GPT<Layers<2>, Embd<48>, Heads<4>, Ctx<80>, Vocab<256>, Activation<gelu_tanh>, Bias<all>>;
using gpt2_untied = GPT<Layers<3>, Embd<36>, Heads<3>, Ctx<80>, Vocab<257>, Activation<gelu>, Bias<all>, Head<untied>>;
using gpt2_plain = GPT<Layers<2>, Embd<40>, Heads<2>, Ctx<80>, Vocab<97>, Ffn<100>, Activation<relu>>;
using gpt2_some_biases =
    GPT<Layers<1>, Embd<32>, Heads<1>, Ctx<80>, Vocab<131>, Activation<gelu_tanh>, Bias<attn_in | ffn>>;
using gpt2_epsilon =
    GPT<Layers<2>, Embd<48>, Heads<4>, Ctx<80>, Vocab<127>, Activation<gelu_tanh>, Norm<layer, 1e-6>, Bias<all>>;

std::vector<Entry> gpt2_models() {
  return {Numbers<gpt2_small>::entry("gpt2_small"), Numbers<gpt2_untied>::entry("gpt2_untied"),
          Numbers<gpt2_plain>::entry("gpt2_plain"), Numbers<gpt2_some_biases>::entry("gpt2_some_biases"),
          Numbers<gpt2_epsilon>::entry("gpt2_epsilon")};
}

}  // namespace tinygpt::oracle

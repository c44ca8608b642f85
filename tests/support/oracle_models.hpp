// Small models of every family, with weights that are the same on every machine: what other people's code is compared
// on.
#pragma once

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include <tinygpt/model/gpt.hpp>

namespace tinygpt::test {

// clang-format off
/// Numbered from 0. The first four are GPT-2's shape, of which the first is one that llm.c knows; then Llama's, Qwen3's;
/// three that are nobody's; the last two have epsilons that are seen in the logits.
using OracleModels = std::tuple<
    GPT<Layers<2>, Embd<32>, Heads<4>, Ctx<16>, Vocab<61>, Bias<all>, Activation<gelu_tanh>>,
    GPT<Layers<1>, Embd<24>, Heads<3>, Ctx<9>, Vocab<130>, Bias<all>, Activation<gelu_tanh>>,
    GPT<Layers<2>, Embd<16>, Heads<2>, Ctx<12>, Vocab<37>, Head<untied>>,
    GPT<Layers<3>, Embd<32>, Heads<1>, Ctx<16>, Vocab<64>, Ffn<40>, Bias<attn_in | ffn>, Activation<relu>>,
    GPT<Layers<2>, Embd<32>, Heads<4, 2>, Ctx<16>, Vocab<61>, Norm<rms>, Positions<rope>, Activation<swiglu>, Head<untied>>,
    GPT<Layers<2>, Embd<40>, Heads<6, 2>, HeadDim<16>, Ctx<24>, Vocab<101>, Norm<rms>, Positions<rope>, Activation<swiglu>>,
    GPT<Layers<1>, Embd<32>, Heads<4, 1>, Ctx<16>, Vocab<33>, Ffn<50>, Norm<rms>, Positions<rope>, Activation<swiglu>, Bias<all>>,
    GPT<Layers<2>, Embd<32>, Heads<4>, Ctx<16>, Vocab<77>, Norm<rms>, Positions<rope, 500000>, Activation<swiglu>>,
    GPT<Layers<2>, Embd<32>, Heads<4, 2>, HeadDim<16>, Ctx<16>, Vocab<61>, Norm<rms>, Positions<rope, 1000000>, Activation<swiglu>, QkNorm>,
    GPT<Layers<3>, Embd<24>, Heads<6, 3>, HeadDim<8>, Ctx<20>, Vocab<45>, Norm<rms>, Positions<rope>, Activation<swiglu>, QkNorm, Head<untied>>,
    GPT<Layers<2>, Embd<16>, Heads<4, 4>, HeadDim<6>, Ctx<8>, Vocab<29>, Norm<rms>, Positions<rope, 1000000>, Activation<swiglu>, QkNorm, Bias<attn_in | attn_out>>,
    GPT<Layers<2>, Embd<20>, Heads<4, 2>, HeadDim<6>, Ctx<16>, Vocab<61>, Positions<rope>, Bias<all | head>>,
    GPT<Layers<2>, Embd<32>, Heads<4, 2>, Ctx<16>, Vocab<61>, Norm<rms>, Positions<none>, Activation<relu>, QkNorm>,
    GPT<Layers<1>, Embd<12>, Heads<2>, HeadDim<10>, Ctx<11>, Vocab<50>, Norm<rms>, Activation<swiglu>, QkNorm, Bias<ffn>, Head<untied>>,
    GPT<Layers<2>, Embd<32>, Heads<4, 2>, Ctx<16>, Vocab<61>, Norm<rms, 0.01>, Positions<rope>, Activation<swiglu>, QkNorm>,
    GPT<Layers<2>, Embd<32>, Heads<4>, Ctx<16>, Vocab<61>, Norm<layer, 0.01>, Bias<all>, Activation<gelu_tanh>>>;
// clang-format on

inline constexpr int oracle_model_count = static_cast<int>(std::tuple_size_v<OracleModels>);

/// Calls f.template operator()<M>() for the model of that number; false where there is none.
template <class F> bool with_oracle_model(int number, F&& f) {
  const auto one = [&]<int I>() {
    if (I != number) return false;
    f.template operator()<std::tuple_element_t<static_cast<std::size_t>(I), OracleModels>>();
    return true;
  };
  return [&]<int... I>(std::integer_sequence<int, I...>) { return (one.template operator()<I>() || ...); }
  (std::make_integer_sequence<int, oracle_model_count>());
}

/// A whole arena: matrices evenly in [-0.5, 0.5), weights of norms in [0.5, 1.5), biases in [-0.5, 0.5), each a
/// multiple of 2^-12, so that no arithmetic is rounded. Every tensor counts in the logits, and no two numbers stand in
/// a pattern.
inline std::vector<float> oracle_weights(const Config& config, std::uint64_t seed) {
  const ParamTable table(config);
  std::vector<float> arena(static_cast<std::size_t>(table.arena_size()));
  std::uint64_t state = seed;
  const auto next = [&] {  // splitmix64
    std::uint64_t z = state += 0x9E37'79B9'7F4A'7C15u;
    z = (z ^ z >> 30) * 0xBF58'476D'1CE4'E5B9u;
    z = (z ^ z >> 27) * 0x94D0'49BB'1331'11EBu;
    return z ^ z >> 31;
  };
  for (const ParamRow& row : table) {
    const float middle = row.init == Init::ones ? 1.0f : 0.0f;
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        const auto steps = static_cast<int>(next() >> 52) - 2048;
        arena[static_cast<std::size_t>(row.offset + l * row.stride + i)] = middle + static_cast<float>(steps) / 4096;
      }
    }
  }
  return arena;
}

}  // namespace tinygpt::test

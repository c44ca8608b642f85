// The models whose gradients are checked. Together they have each choice of each option, and most pairs of choices.
#pragma once

#include <tuple>

#include <tinygpt/model/gpt.hpp>

namespace tinygpt::test {

template <int C, class Heads, class... Options>
using Small = GPT<Layers<2>, Embd<C>, Heads, Ctx<7>, Vocab<11>, Options...>;

using gpt2_family = std::tuple<
    Small<8, Heads<2>>,                                                                       //
    Small<8, Heads<2>, Bias<all>, Activation<gelu_tanh>>,                                     // GPT-2
    Small<8, Heads<4>, Bias<all | head>, Activation<gelu_tanh>, Head<untied>>,                //
    Small<8, Heads<2>, Bias<attn_out | ffn | head>, Activation<relu>, Head<untied>>,          //
    Small<8, Heads<4, 1>, Bias<attn_in>, Activation<relu>, Ffn<12>>,                          //
    Small<8, Heads<4, 2>, Bias<attn_out>, Activation<gelu>, HeadDim<3>, Ffn<16>>,             //
    Small<12, Heads<2, 2>, Bias<ffn>, Positions<none>, Activation<gelu_tanh>, Ffn<12>>,       //
    Small<12, Heads<4, 2>, Bias<all>, QkNorm, Ffn<10>>,                                       //
    Small<8, Heads<2, 1>, Norm<rms>, Bias<all>, Activation<gelu>>,                            //
    Small<8, Heads<2>, Norm<layer, 0.05>, QkNorm, Bias<all>, Activation<gelu_tanh>>,          //
    Small<8, Heads<4, 2>, Bias<head>, Positions<rope>, Activation<gelu_tanh>, HeadDim<4>>>;   //

using llama_family = std::tuple<
    Small<8, Heads<2>, Norm<rms>, Positions<rope>, Activation<swiglu>>,                                         // Llama
    Small<8, Heads<4, 2>, Norm<rms>, Positions<rope>, Activation<swiglu>, QkNorm>,                              // Qwen3
    Small<8, Heads<4, 2>, HeadDim<6>, Norm<rms>, Positions<rope>, Activation<swiglu>, QkNorm, Head<untied>>,    //
    Small<8, Heads<4, 1>, Norm<rms>, Positions<rope, 500>, Activation<swiglu>, Bias<attn_in>>,                  // Qwen2
    Small<12, Heads<2>, Norm<rms>, Positions<rope>, Activation<swiglu>, Ffn<7>, Bias<ffn>, Head<untied>>,       //
    Small<8, Heads<4, 4>, HeadDim<6>, Norm<rms>, Positions<rope>, Activation<relu>, QkNorm, Bias<attn_out>>,    //
    Small<8, Heads<2, 1>, Norm<layer>, Positions<rope>, Activation<swiglu>, QkNorm, Bias<all | head>>,          //
    Small<8, Heads<4, 2>, HeadDim<5>, Norm<rms>, Positions<none>, Activation<swiglu>, QkNorm, Bias<head>>,      //
    Small<8, Heads<4, 2>, Norm<rms, 0.05>, Positions<rope>, Activation<swiglu>, QkNorm>,                        //
    Small<8, Heads<2, 2>, Norm<rms>, Positions<learned>, Activation<swiglu>, Bias<attn_in | attn_out>>>;        //

}  // namespace tinygpt::test

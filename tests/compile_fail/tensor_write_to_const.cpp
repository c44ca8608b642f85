// A view for reading where an op writes.
// g++: could not convert 'y' from 'Tensor<const float,.*Ffn<64>>' to 'Tensor<float,.*Ffn<64>>'
// clang++: no known conversion from 'Tensor<.*Tensor<const float, .*Ffn<64>.* to .*Tensor<float, .*Ffn<64>.* for 2nd argument
#include <tinygpt/reference/linear.hpp>

using namespace tinygpt;

#ifdef BAD
using Element = const float;
#else
using Element = float;
#endif

void f(reference::Context<float>& ctx, Tensor<Element, Batch<>, Time<>, Ffn<64>> y,
       Tensor<const float, Batch<>, Time<>, Embd<16>> x, Tensor<const float, Ffn<64>, Embd<16>> weight) {
  reference::linear(ctx, y, x, weight, {});
}

// The output of attention with another number of heads than its input.
// g++: could not convert 'y' from .*QueryHeads<8, 64>.* to .*QueryHeads<12, 64>
// clang++: no known conversion from .*QueryHeads<8, 64>.* to .*QueryHeads<12, 64>.* for 2nd argument
#include <tinygpt/reference/attention.hpp>

using namespace tinygpt;

#ifdef BAD
using Heads8 = QueryHeads<8, 64>;
#else
using Heads8 = QueryHeads<12, 64>;
#endif

void f(reference::Context<float>& ctx, Tensor<float, Batch<>, Time<>, Heads8> y,
       Tensor<float, Batch<>, Time<>, PerHead<12>> lse, Tensor<const float, Batch<>, Time<>, Qkv<12, 4, 64>> qkv) {
  reference::attention(ctx, y, lse, qkv, {});
}

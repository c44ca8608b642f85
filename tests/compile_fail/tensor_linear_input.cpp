// The input of a linear layer with another width than its weight's columns.
// g++: could not convert 'x' from .*Embd<770>.* to .*Embd<768>
// clang++: no known conversion from .*Embd<770>.* to .*Embd<768>.* for 3rd argument
#include <tinygpt/reference/linear.hpp>

using namespace tinygpt;

#ifdef BAD
using Width = Embd<770>;
#else
using Width = Embd<768>;
#endif

void f(reference::Context<float>& ctx, Tensor<float, Batch<>, Time<>, Ffn<3072>> y,
       Tensor<const float, Batch<>, Time<>, Width> x, Tensor<const float, Ffn<3072>, Embd<768>> weight) {
  reference::linear(ctx, y, x, weight, {});
}

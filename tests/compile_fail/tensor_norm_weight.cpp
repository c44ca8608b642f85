// A norm's weight as wide as another model.
// g++: could not convert 'weight' from .*Embd<770>.* to .*Embd<768>
// clang++: no known conversion from .*Embd<770>.* to .*Embd<768>.* for 6th argument
#include <tinygpt/reference/norm.hpp>

using namespace tinygpt;

#ifdef BAD
using Width = Embd<770>;
#else
using Width = Embd<768>;
#endif

void f(reference::Context<float>& ctx, Tensor<float, Batch<>, Time<>, Embd<768>> y, Tensor<float, Batch<>, Time<>> stat,
       Tensor<const float, Batch<>, Time<>, Embd<768>> x, Tensor<const float, Width> weight,
       Tensor<const float, Embd<768>> bias) {
  reference::norm<layer>(ctx, y, stat, stat, x, weight, bias, 1e-5);
}

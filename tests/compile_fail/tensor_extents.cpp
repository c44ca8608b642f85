// A view of a batch that is told only one of its two run-time extents.
// sentence: a view takes one extent for each axis of dynamic extent, in order: write Tensor<.*>\{data, B, T\}
#include <tinygpt/layout/tensor.hpp>

using namespace tinygpt;

#ifdef BAD
Tensor<float, Batch<>, Time<>, Embd<8>> f(float* p) { return Tensor<float, Batch<>, Time<>, Embd<8>>(p, 2); }
#else
Tensor<float, Batch<>, Time<>, Embd<8>> f(float* p) { return Tensor<float, Batch<>, Time<>, Embd<8>>(p, 2, 3); }
#endif

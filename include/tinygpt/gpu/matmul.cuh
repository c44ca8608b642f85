// Matrix products: y = a b, y = a b + bias and y += a b, any of a and b transposed. Twin of cpu/gemm.hpp.
//
// Of cuBLASLt's epilogues only the bias is used. Its GELU would be computed from sums that have not been rounded to the
// numbers that are kept, and by a formula of its own, so activation() could not give the same hidden again from what
// was kept (ops/backend.hpp); its bias gradients replace what backward passes must add to.
#pragma once

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/product.cuh>

namespace tinygpt::gpu {

/// y (m x n, rows `stride` apart) = a (m x k) b (k x n), or += where told, and + bias (n) in every row where there is
/// one.
///
/// (E, E) -> E for activations, (float) or (bfloat16, bfloat16) -> float for gradients of parameters. Sums are float,
/// and of float operands exact products (no TF32). The bias is added to the sum before it is rounded to Y. FLOPs 2mnk.
/// Throws an Error where cuBLASLt refuses.
template <class E, class Y>
void matmul(Context<E>& ctx, std::int64_t m, std::int64_t n, std::int64_t k, Operand<E> a, Operand<E> b, Y* y,
            std::int64_t stride, Accumulate accumulate = Accumulate::no, const E* bias = nullptr) {
  static_assert(std::is_same_v<Y, E> || std::is_same_v<Y, float>);
  if (m == 0 || n == 0) return;
  const Product product{.m = m,
                        .n = n,
                        .k = k,
                        .a = a.layout,
                        .b = b.layout,
                        .a_stride = a.stride,
                        .b_stride = b.stride,
                        .y_stride = stride,
                        .in = number_of<E>,
                        .out = number_of<Y>,
                        .accumulate = accumulate,
                        .bias = bias != nullptr ? Bias::row : Bias::none,
                        .a_alignment = alignment_of(a.data),
                        .b_alignment = alignment_of(b.data),
                        .y_alignment = alignment_of(y),
                        .bias_alignment = alignment_of(bias)};
  ctx.matmul_engine().run(product, a.data, b.data, y, bias, ctx.stream());
}

}  // namespace tinygpt::gpu

// Linear layers, alone and with the feed-forward network's nonlinearity. Twin of reference/linear.hpp.
// Bias and nonlinearity are the product's epilogue: they touch each tile while it is in the cache.
#pragma once

#include <tinygpt/cpu/activation.hpp>
#include <tinygpt/cpu/gemm.hpp>

namespace tinygpt::cpu {

template <class E, class Rows, class Cols>
void linear(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Rows> y, In<E, Batch<dyn>, Time<dyn>, Cols> x,
            Tensor<const E, Rows, Cols> w, In<E, Rows> b) {
  const auto product = [&](const auto& epilogue) {
    gemm(ctx, x.rows(), Rows::value, Cols::value, as_stored(x.data(), Cols::value), transposed(w.data(), Cols::value), y.data(),
         Rows::value, Accumulate::no, epilogue);
  };
  if (!b) return product(NoEpilogue{});
  product([&](std::int64_t, std::int64_t begin, std::int64_t end, float* out) {
    along(end - begin, [&](Lanes lanes) { lanes.store(out, lanes.load(out) + lanes.load(b.data() + begin)); });
  });
}

template <class E, class Rows, class Cols>
void linear_backward(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x, Tensor<float, Rows, Cols> d_w, Out<float, Rows> d_b,
                     In<E, Batch<dyn>, Time<dyn>, Rows> d_y, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                     In<E, Rows, Cols> w) {
  gemm(ctx, x.rows(), Cols::value, Rows::value, as_stored(d_y.data(), Rows::value), as_stored(w.data(), Cols::value), d_x.data(),
       Cols::value);
  gemm(ctx, Rows::value, Cols::value, x.rows(), transposed(d_y.data(), Rows::value), as_stored(x.data(), Cols::value), d_w.data(),
       Cols::value, Accumulate::yes);
  if (d_b) add_column_sums(ctx, d_b.data(), d_y.data(), x.rows(), Rows::value);
}

template <class E, int F, ActivationKind K, class Cols>
void linear_activation(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                       Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<E, Batch<dyn>, Time<dyn>, Cols> x,
                       Tensor<const E, FfnIn<F, K>, Cols> w, In<E, FfnIn<F, K>> b) {
  if constexpr (is_gated(K)) {
    linear(ctx, pre, x, w, b);
    activation(ctx, hidden, read(pre));
  } else {
    gemm(ctx, x.rows(), F, Cols::value, as_stored(x.data(), Cols::value), transposed(w.data(), Cols::value), pre.data(), F,
         Accumulate::no, [&](std::int64_t row, std::int64_t begin, std::int64_t end, float* out) {
           along(end - begin, [&](Lanes lanes) {
             Floats z = lanes.load(out);
             if (b) lanes.store(out, z += lanes.load(b.data() + begin));
             lanes.store(hidden.data() + row * F + begin, detail::act<K>(rounded<E>(z)));
           });
         });
  }
}

template <class E, int F, ActivationKind K, class Cols>
void linear_activation_backward(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Cols> d_x,
                                Tensor<float, FfnIn<F, K>, Cols> d_w, Out<float, FfnIn<F, K>> d_b,
                                Out<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                                In<E, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden,
                                In<E, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre,
                                In<E, Batch<dyn>, Time<dyn>, Cols> x, In<E, FfnIn<F, K>, Cols> w) {
  activation_backward<E, F, K>(ctx, d_pre, d_hidden, pre);
  linear_backward(ctx, d_x, d_w, d_b, read(d_pre), x, w);
}

}  // namespace tinygpt::cpu

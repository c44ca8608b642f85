// Linear layers, alone and with the feed-forward network's nonlinearity. Twin of reference/linear.hpp.
// Bias and nonlinearity are the product's epilogue: they touch each tile while it is in the cache.
#pragma once

#include <tinygpt/cpu/activation.hpp>
#include <tinygpt/cpu/gemm.hpp>

namespace tinygpt::cpu {

template <class O, class I>
void linear(Context& ctx, Out<float, Batch<dyn>, Time<dyn>, O> y, In<float, Batch<dyn>, Time<dyn>, I> x,
            Tensor<const float, O, I> w, In<float, O> b) {
  const auto product = [&](const auto& epilogue) {
    gemm(ctx, x.rows(), O::value, I::value, as_stored(x.data(), I::value), transposed(w.data(), I::value), y.data(),
         O::value, Accumulate::no, epilogue);
  };
  if (!b) return product(NoEpilogue{});
  product([&](std::int64_t, std::int64_t begin, std::int64_t end, float* out) {
    along(end - begin, [&](Lanes lanes) { lanes.store(out, lanes.load(out) + lanes.load(b.data() + begin)); });
  });
}

template <class O, class I>
void linear_backward(Context& ctx, Out<float, Batch<dyn>, Time<dyn>, I> d_x, Tensor<float, O, I> d_w, Out<float, O> d_b,
                     In<float, Batch<dyn>, Time<dyn>, O> d_y, In<float, Batch<dyn>, Time<dyn>, I> x,
                     In<float, O, I> w) {
  gemm(ctx, x.rows(), I::value, O::value, as_stored(d_y.data(), O::value), as_stored(w.data(), I::value), d_x.data(),
       I::value);
  gemm(ctx, O::value, I::value, x.rows(), transposed(d_y.data(), O::value), as_stored(x.data(), I::value), d_w.data(),
       I::value, Accumulate::yes);
  if (d_b) add_column_sums(ctx, d_b.data(), d_y.data(), x.rows(), O::value);
}

template <int F, ActivationKind K, class I>
void linear_activation(Context& ctx, Out<float, Batch<dyn>, Time<dyn>, Ffn<F>> hidden,
                       Out<float, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre, In<float, Batch<dyn>, Time<dyn>, I> x,
                       Tensor<const float, FfnIn<F, K>, I> w, In<float, FfnIn<F, K>> b) {
  if constexpr (K == swiglu) {
    linear(ctx, pre, x, w, b);
    swiglu_activation<F>(ctx, hidden, read(pre));
  } else {
    gemm(ctx, x.rows(), F, I::value, as_stored(x.data(), I::value), transposed(w.data(), I::value), pre.data(), F,
         Accumulate::no, [&](std::int64_t row, std::int64_t begin, std::int64_t end, float* out) {
           along(end - begin, [&](Lanes lanes) {
             Floats z = lanes.load(out);
             if (b) lanes.store(out, z += lanes.load(b.data() + begin));
             lanes.store(hidden.data() + row * F + begin, detail::act<K>(z));
           });
         });
  }
}

template <int F, ActivationKind K, class I>
void linear_activation_backward(Context& ctx, Out<float, Batch<dyn>, Time<dyn>, I> d_x,
                                Tensor<float, FfnIn<F, K>, I> d_w, Out<float, FfnIn<F, K>> d_b,
                                Out<float, Batch<dyn>, Time<dyn>, FfnIn<F, K>> d_pre,
                                In<float, Batch<dyn>, Time<dyn>, Ffn<F>> d_hidden,
                                In<float, Batch<dyn>, Time<dyn>, FfnIn<F, K>> pre,
                                In<float, Batch<dyn>, Time<dyn>, I> x, In<float, FfnIn<F, K>, I> w) {
  activation_backward<F, K>(ctx, d_pre, d_hidden, pre);
  linear_backward(ctx, d_x, d_w, d_b, read(d_pre), x, w);
}

}  // namespace tinygpt::cpu

// What a backend owes: the complete list of operations, with their shapes, on one page.
//
// A backend is a context type (reference::Context<S>, cpu::Context, gpu::Context<E>) and these functions in its namespace,
// found through the context by argument-dependent lookup. Arguments: ctx, outputs..., inputs..., scalars. Letters: B batch,
// T time, C embedding, V vocabulary, F hidden, Hq/Hkv heads, Dh head size. Shapes are the tensors' types.
//
// Two types of numbers: Context::element, in which weights and activations lie (and gradients of activations), and
// Context::accumulator, in which statistics (mean, rstd, lse), losses, gradients of parameters and the optimizer's moments
// lie. They are the same type but for bf16, whose accumulator is float.
//
// Backward passes accumulate: gradients of parameters +=, of activations =, of the residual stream +=.
// Null views: a bias, a position embedding, QK-norm weights, a RoPE table that the architecture does not have.
// Pointers and views are into the backend's memory; operations run in the order of their calls, perhaps later.
//
//   embed            (residual; tokens, token_embedding, position_embedding, first_position, dropout)
//                      residual = dropout(token_embedding[tokens] + position_embedding[first_position(b) + t])
//   embed_backward   (d_token_embedding, d_position_embedding; d_residual, tokens, dropout)
//
//   norm             (normed, mean, rstd; residual, weight, bias, eps)
//                      normed = norm(residual); LayerNorm where the template argument is `layer`, RMSNorm for `rms`;
//                      eps is added to the mean of squares
//   residual_norm    (normed, residual_out, mean, rstd; residual_in, branch, weight, bias, dropout, eps)
//                      residual_out = residual_in + dropout(branch); normed = norm(residual_out)
//   residual_norm_backward (d_residual, d_branch, d_weight, d_bias; d_normed, residual, mean, rstd, weight, dropout)
//                      d_residual += norm'(d_normed); d_branch = dropout(d_residual); d_branch may be null
//
//   linear           (y; x, weight, bias)                 y = x weight^T + bias
//   linear_backward  (d_x, d_weight, d_bias; d_y, x, weight)
//   linear_activation (hidden, pre; x, weight, bias)      pre = x weight^T + bias; hidden = act(pre), or for swiglu
//                                                         silu(gate) * up with pre = [gate | up]
//   activation       (hidden; pre)                        the same hidden from a pre that was kept, bit for bit
//   linear_activation_backward (d_x, d_weight, d_bias, d_pre; d_hidden, pre, x, weight)     d_pre may be pre itself
//
//   qkv              (qkv, raw, rstd; x, weight, bias, q_norm, k_norm, rope, first_position, eps)
//                      the projection, then RMSNorm and RoPE of each query and key head, in the layout of attention
//   qkv_backward     (d_x, d_weight, d_bias, d_q_norm, d_k_norm, d_qkv; x, weight, raw, rstd, q_norm, k_norm, rope)
//                      d_qkv becomes the gradient of the projection in place
//   attention        (y, lse; qkv, dropout)               causal grouped-query attention
//   attention_backward (d_qkv; d_y, y, lse, qkv, dropout)
//   decode_attention (y, keys, values; qkv, first_position)
//                      appends the new positions of each sequence to its cache, then attends over all of it
//
//   loss_head        (loss, losses, logits; x, weight, bias, targets, scale)
//                      losses = cross-entropy of each target, 0 where ignored; loss += scale * sum of losses
//   loss_head_gradient (loss, losses, d_x, d_weight, d_bias, logits; x, weight, bias, targets, scale)
//                      the same, and the gradient of loss, in chunks as long as `logits` has rows
//
//   global_norm      (norm; gradients)                    the 2-norm of a whole arena of gradients
//   adamw            (weights, masters, m, v, updates; gradients, loss, norm, hyper)
//                      updates the masters and rounds them to weights; where the two types are one, masters is empty and
//                      weights are updated; ++*updates, which corrects the moments' bias; does nothing where *loss or
//                      *norm is not finite
//
//   allocate         (bytes)                              zeroed memory that frees itself; data() is its std::byte*
//   copy_in, copy_out (to; from)                          host span -> memory (the span is free again on return);
//                                                         memory -> host span, which waits for all operations before it
//   copy_out_later   (later; from)                        one number, whose copy waits for all operations before it;
//                                                         later.get() waits for the copy, and for nothing after it
//   fill_zero        (span)
//   convert          (to; from)                           elements of accumulators, rounded to nearest even
//   replay           (recording, operations)              calls operations(), or repeats what its first call recorded:
//                                                         the same operations on the same memory
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tinygpt/layout/activations.hpp>
#include <tinygpt/ops/deferred.hpp>
#include <tinygpt/ops/dropout.hpp>
#include <tinygpt/ops/rope.hpp>

namespace tinygpt {

namespace cpu {
template <class E> class BasicContext;
}
/// The backend of Trainer<M> and Generator<M>, where none is named: cpu::Context.
using DefaultContext = cpu::BasicContext<float>;

using TokenIds = Tensor<const std::int32_t, Batch<dyn>, Time<dyn>>;

/// A target that does not count: no loss, no gradient.
inline constexpr std::int32_t ignored_target = -1;

/// One AdamW update. Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2; clipping by the global norm:
/// Pascanu, Mikolov, Bengio 2013 (arXiv:1211.5063).
struct AdamW {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double grad_clip = 1.0;      ///< largest global norm of the gradient; 0 for no clipping
  std::int64_t decay_end = 0;  ///< weights [0, decay_end) decay

  /// What gradients of global norm `norm` are multiplied by.
  TINYGPT_HD constexpr double clip_scale(double norm) const {
    return grad_clip > 0 && norm > grad_clip ? grad_clip / norm : 1.0;
  }

  /// May a gradient of this loss and this norm change the weights?
  TINYGPT_HD static constexpr bool finite(double loss, double norm) { return loss - loss == 0 && norm - norm == 0; }
};

/// The list at the top of this file as a concept: every operation, on tensors of one small architecture.
template <class Context, class E = typename Context::element, class S = typename Context::accumulator, class C = Embd<4>,
          class V = Vocab<8>, class P = Ctx<8>, class D = HeadDim<2>, class QkvRows = Qkv<2, 1, 2>,
          class FfnRows = FfnIn<8, gelu>>
concept Backend =
    requires(Context& ctx, Tensor<E, Batch<dyn>, Time<dyn>, C> x, Tensor<S, Batch<dyn>, Time<dyn>> stat,
             Tensor<E, Batch<dyn>, Time<dyn>, QkvRows> heads, Tensor<E, Batch<dyn>, Time<dyn>, QueryHeads<2, 2>> y,
             Tensor<S, Batch<dyn>, Time<dyn>, PerHead<2>> lse, Tensor<S, Batch<dyn>, Time<dyn>, PerHead<3>> qk_rstd,
             Tensor<E, Batch<dyn>, Time<dyn>, FfnRows> pre, Tensor<E, Batch<dyn>, Time<dyn>, Ffn<8>> hidden,
             Tensor<E, Time<dyn>, V> logits, Tensor<E, Batch<dyn>, P, KvHeads<1, 2>> cache, Tensor<S, P, D> table,
             // weights
             Tensor<E, V, C> embedding, Tensor<E, P, C> positions, Tensor<E, C> vector, Tensor<E, V> v_bias,
             Tensor<E, QkvRows, C> qkv_w, Tensor<E, QkvRows> qkv_b, Tensor<E, D> qk_w, Tensor<E, FfnRows, C> ffn_w,
             Tensor<E, FfnRows> ffn_b, Tensor<E, C, Ffn<8>> out_w,
             // and their gradients
             Tensor<S, V, C> d_embedding, Tensor<S, P, C> d_positions, Tensor<S, C> d_vector, Tensor<S, V> d_v_bias,
             Tensor<S, QkvRows, C> d_qkv_w, Tensor<S, QkvRows> d_qkv_b, Tensor<S, D> d_qk_w,
             Tensor<S, FfnRows, C> d_ffn_w, Tensor<S, FfnRows> d_ffn_b, Tensor<S, C, Ffn<8>> d_out_w,
             //
             TokenIds ids, Dropout dropout, FirstPosition first, S* loss, double* norm_of_gradient, std::span<E> elements,
             std::span<S> sums, const AdamW* hyper, std::int64_t* updates, std::int32_t* place,
             std::span<std::int32_t> host, typename Context::template Later<double> later,
             typename Context::Recording recording) {
      embed(ctx, x, ids, read(embedding), read(positions), first, dropout);
      embed_backward(ctx, d_embedding, d_positions, x, ids, dropout);
      norm<layer>(ctx, x, stat, stat, x, vector, vector, 1e-5);
      norm<rms>(ctx, x, stat, stat, x, vector, vector, 1e-6);
      residual_norm<layer>(ctx, x, x, stat, stat, x, x, vector, vector, dropout, 1e-5);
      residual_norm_backward<layer>(ctx, x, x, d_vector, d_vector, x, x, stat, stat, vector, dropout);
      linear(ctx, x, hidden, read(out_w), vector);
      linear_backward(ctx, hidden, d_out_w, d_vector, x, hidden, out_w);
      linear_activation(ctx, hidden, pre, x, read(ffn_w), ffn_b);
      activation(ctx, hidden, read(pre));
      linear_activation_backward(ctx, x, d_ffn_w, d_ffn_b, pre, hidden, pre, x, ffn_w);
      qkv(ctx, heads, heads, qk_rstd, x, read(qkv_w), qkv_b, qk_w, qk_w, read(table), first, 1e-6);
      qkv_backward(ctx, x, d_qkv_w, d_qkv_b, d_qk_w, d_qk_w, heads, x, qkv_w, heads, qk_rstd, qk_w, qk_w, read(table));
      attention(ctx, y, lse, read(heads), dropout);
      attention_backward(ctx, heads, y, y, lse, heads, dropout);
      decode_attention(ctx, y, cache, cache, read(heads), first);
      loss_head(ctx, loss, stat, logits, x, read(embedding), v_bias, ids, 1.0);
      loss_head_gradient(ctx, loss, stat, x, d_embedding, d_v_bias, logits, x, embedding, v_bias, ids, 1.0);
      global_norm(ctx, norm_of_gradient, sums);
      adamw(ctx, elements, sums, sums, sums, updates, sums, loss, norm_of_gradient, hyper);
      { allocate(ctx, std::int64_t{}).data() } -> std::convertible_to<std::byte*>;
      copy_in(ctx, place, host);
      copy_out(ctx, host, place);
      copy_out_later(ctx, later, norm_of_gradient);
      { later.get() } -> std::convertible_to<double>;
      fill_zero(ctx, sums);
      fill_zero(ctx, elements);
      convert(ctx, elements, sums);
      replay(ctx, recording, [] {});
    };

}  // namespace tinygpt

// Causal grouped-query attention. Twin of reference/attention.hpp; the blocks are in flash_attention.hpp.
#pragma once

#include <tinygpt/cpu/flash_attention.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

template <int Q, int KV, int D>
void attention(Context& ctx, Out<float, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
               Out<float, Batch<dyn>, Time<dyn>, PerHead<Q>> lse,
               Tensor<const float, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, Dropout dropout) {
  attention_forward(ctx, y.data(), lse.data(), qkv.data(),
                    {qkv.template extent<Batch>(), qkv.template extent<Time>(), Q, KV, D}, {dropout, dropout.ctx});
}

template <int Q, int KV, int D>
void attention_backward(Context& ctx, Tensor<float, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv,
                        In<float, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> d_y,
                        In<float, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
                        In<float, Batch<dyn>, Time<dyn>, PerHead<Q>> lse,
                        In<float, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, Dropout dropout) {
  attention_backward(ctx, d_qkv.data(), d_y.data(), y.data(), lse.data(), qkv.data(),
                     {qkv.template extent<Batch>(), qkv.template extent<Time>(), Q, KV, D}, {dropout, dropout.ctx});
}

template <int Q, int KV, int D, int N>
void decode_attention(Context& ctx, Out<float, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
                      Tensor<float, Ctx<N>, KvHeads<KV, D>> keys, Out<float, Ctx<N>, KvHeads<KV, D>> values,
                      Tensor<const float, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv,
                      Deferred<int> first_position) {
  constexpr std::int64_t width = Qkv<Q, KV, D>::value, kv_width = KvHeads<KV, D>::value;
  const int T = qkv.template extent<Time>(), first = first_position();
  for (int t = 0; t < T; ++t) {
    const float* token = qkv.data() + t * width;
    std::copy_n(token + Q * D, kv_width, keys.data() + (first + t) * kv_width);
    std::copy_n(token + (Q + KV) * D, kv_width, values.data() + (first + t) * kv_width);
  }
  attention_decode(ctx, y.data(), std::int64_t{Q} * D, qkv.data(), width, first, T, keys.data(), values.data(),
                   Q, KV, D);
}

}  // namespace tinygpt::cpu

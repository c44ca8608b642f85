// Causal grouped-query attention. Twin of reference/attention.hpp; the blocks are in flash_attention.hpp.
#pragma once

#include <tinygpt/cpu/flash_attention.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

template <class E, int Q, int KV, int D>
void attention(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
               Out<float, Batch<dyn>, Time<dyn>, PerHead<Q>> lse,
               Tensor<const E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, Dropout dropout) {
  attention_forward(ctx, y.data(), lse.data(), qkv.data(),
                    {qkv.template extent<Batch>(), qkv.template extent<Time>(), Q, KV, D}, {dropout, dropout.ctx});
}

template <class E, int Q, int KV, int D>
void attention_backward(BasicContext<E>& ctx, Tensor<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv,
                        In<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> d_y,
                        In<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
                        In<float, Batch<dyn>, Time<dyn>, PerHead<Q>> lse,
                        In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, Dropout dropout) {
  attention_backward(ctx, d_qkv.data(), d_y.data(), y.data(), lse.data(), qkv.data(),
                     {qkv.template extent<Batch>(), qkv.template extent<Time>(), Q, KV, D}, {dropout, dropout.ctx});
}

template <class E, int Q, int KV, int D, int N>
void decode_attention(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
                      Tensor<E, Batch<dyn>, Ctx<N>, KvHeads<KV, D>> keys,
                      Out<E, Batch<dyn>, Ctx<N>, KvHeads<KV, D>> values,
                      Tensor<const E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, FirstPosition first_position) {
  constexpr std::int64_t width = Qkv<Q, KV, D>::value, kv_width = KvHeads<KV, D>::value;
  const int B = qkv.template extent<Batch>(), T = qkv.template extent<Time>();
  for (std::int64_t i = 0; i < std::int64_t{B} * T; ++i) {
    const std::int64_t b = i / T, to = (b * N + first_position(b) + i % T) * kv_width;
    const E* key = qkv.data() + i * width + Q * D;
    std::copy_n(key, kv_width, keys.data() + to);
    std::copy_n(key + kv_width, kv_width, values.data() + to);
  }
  attention_decode(ctx, y.data(), qkv.data(), first_position, keys.data(), values.data(), N, {B, T, Q, KV, D});
}

}  // namespace tinygpt::cpu

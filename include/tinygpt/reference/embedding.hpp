// Token and learned-position embedding.
#pragma once

#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// residual[b, t] = dropout(token_embedding[tokens[b, t]] + position_embedding[first_position(b) + t])
template <class E, int V, int C, int N>
void embed(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, TokenIds tokens,
           Tensor<const E, Vocab<V>, Embd<C>> token_embedding, Tensor<const E, Ctx<N>, Embd<C>> position_embedding,
           FirstPosition first_position, Dropout dropout) {
  const int T = tokens.template extent<Time>();
  for (std::int64_t i = 0; i < tokens.size(); ++i) {
    const std::int64_t b = i / T, t = i % T;
    for (int c = 0; c < C; ++c) {
      E x = token_embedding.data()[std::int64_t{tokens.data()[i]} * C + c];
      if (position_embedding) x += position_embedding.data()[(first_position(b) + t) * C + c];
      residual.data()[i * C + c] = x * mask<E>(dropout, b * dropout.ctx + t, c, C);
    }
  }
}

template <class E, int V, int C, int N>
void embed_backward(Context<E>&, Tensor<E, Vocab<V>, Embd<C>> d_token_embedding,
                    Tensor<E, Ctx<N>, Embd<C>> d_position_embedding, In<E, Batch<dyn>, Time<dyn>, Embd<C>> d_residual,
                    TokenIds tokens, Dropout dropout) {
  const int T = tokens.template extent<Time>();
  for (std::int64_t i = 0; i < tokens.size(); ++i) {
    const std::int64_t b = i / T, t = i % T;
    for (int c = 0; c < C; ++c) {
      const E g = d_residual.data()[i * C + c] * mask<E>(dropout, b * dropout.ctx + t, c, C);
      d_token_embedding.data()[std::int64_t{tokens.data()[i]} * C + c] += g;
      if (d_position_embedding) d_position_embedding.data()[t * C + c] += g;
    }
  }
}

}  // namespace tinygpt::reference

// Token and learned-position embedding. Twin of reference/embedding.hpp.
// Forward: a task is some rows. Backward: a task is a strip of columns of all rows, so that equal tokens never race.
#pragma once

#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

template <class E, int V, int C, int N>
void embed(BasicContext<E>& ctx, Out<E, Batch<dyn>, Time<dyn>, Embd<C>> residual, TokenIds tokens,
           Tensor<const E, Vocab<V>, Embd<C>> token_embedding, Tensor<const E, Ctx<N>, Embd<C>> position_embedding,
           FirstPosition first_position, Dropout dropout) {
  const int T = tokens.template extent<Time>();
  for_row_parts(ctx, tokens.size(), [&](int, std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const E* token = token_embedding.data() + std::int64_t{tokens.data()[i]} * C;
      const E* position =
          position_embedding ? position_embedding.data() + (first_position(i / T) + i % T) * C : nullptr;
      E* out = residual.data() + i * C;
      along_mask(dropout, i / T * dropout.ctx + i % T, C, [&](Lanes lanes, Floats mask) {
        const Floats x = lanes.load(token);
        lanes.store(out, (position != nullptr ? x + lanes.load(position) : x) * mask);
      });
    }
  });
}

template <class E, int V, int C, int N>
void embed_backward(BasicContext<E>& ctx, Tensor<float, Vocab<V>, Embd<C>> d_token_embedding,
                    Tensor<float, Ctx<N>, Embd<C>> d_position_embedding,
                    In<E, Batch<dyn>, Time<dyn>, Embd<C>> d_residual, TokenIds tokens, Dropout dropout) {
  const int T = tokens.template extent<Time>();
  constexpr int strip = dropout_span;
  ctx.parallel_for((C + strip - 1) / strip, [&](int task, int) {
    const std::int64_t first = std::int64_t{task} * strip;
    const std::int64_t n = std::min<std::int64_t>(strip, C - first);
    for (std::int64_t i = 0; i < tokens.size(); ++i) {
      const std::int64_t row = i / T * dropout.ctx + i % T;
      Floats mask[4];
      if (dropout) dropout_factors(dropout, row, first, C, mask);
      const E* in = d_residual.data() + i * C + first;
      float* token = d_token_embedding.data() + std::int64_t{tokens.data()[i]} * C + first;
      float* position = d_position_embedding ? d_position_embedding.data() + i % T * C + first : nullptr;
      along(n, [&](Lanes lanes) {
        Floats g = lanes.load(in);
        if (dropout) g *= mask[lanes.at / vector_width];
        lanes.store(token, lanes.load(token) + g);
        if (position != nullptr) lanes.store(position, lanes.load(position) + g);
      });
    }
  });
}

}  // namespace tinygpt::cpu

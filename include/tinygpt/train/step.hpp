// The forward and the backward pass: a GPT in the words of ops/backend.hpp, the same for every backend.
#pragma once

#include <tinygpt/ops/backend.hpp>

namespace tinygpt {

/// Where dropout strikes within one training step; each use has its own site.
struct DropoutPlan {
  std::uint32_t threshold = 0;
  std::uint64_t seed = 0;
  Deferred<std::uint64_t> step{};
  std::int64_t ctx = 0;

  /// Dropout with the probability nearest to `rate` that is a multiple of 1/65536.
  static DropoutPlan at_rate(double rate, std::uint64_t seed, Deferred<std::uint64_t> step, int ctx) {
    return {static_cast<std::uint32_t>(rate * 65536 + 0.5), seed, step, ctx};
  }

  Dropout embedding() const { return {threshold, 0, seed, step, ctx}; }
  Dropout attention(int l) const { return {threshold, 3u * static_cast<std::uint32_t>(l) + 1, seed, step, ctx}; }
  Dropout attention_branch(int l) const { return {threshold, 3u * static_cast<std::uint32_t>(l) + 2, seed, step, ctx}; }
  Dropout feed_forward_branch(int l) const {
    return {threshold, 3u * static_cast<std::uint32_t>(l) + 3, seed, step, ctx};
  }
};

/// One layer from its first norm's output to the output of the nonlinearity; `attend` turns act.qkv(l) into
/// act.attn(l).
template <Architecture M, class Context, class E, class S, class Attend>
void layer_through(Context& ctx, const Params<M, const E>& w, const Activations<M, E, S>& act, int l,
                   FirstPosition first_position, const DropoutPlan& dropout, Attend&& attend) {
  constexpr NormKind norm_kind = M::config.norm;
  const int n1 = 2 * l, n2 = n1 + 1;
  qkv(ctx, act.qkv(l), act.qk_raw(l), act.qk_rstd(l), act.normed(n1), w.qkv_weight(l), w.qkv_bias(l),
      w.q_norm_weight(l), w.k_norm_weight(l), read(act.rope_table()), first_position, M::config.qk_norm_eps());
  attend(l);
  linear(ctx, act.branch(), act.attn(l), w.attn_out_weight(l), w.attn_out_bias(l));
  residual_norm<norm_kind>(ctx, act.normed(n2), act.residual(n2), act.norm_mean(n2), act.norm_rstd(n2),
                           act.residual(n1), act.branch(), w.norm2_weight(l), w.norm2_bias(l),
                           dropout.attention_branch(l), M::config.norm_eps);
  linear_activation(ctx, act.hidden(l), act.ffn_in(l), act.normed(n2), w.ffn_in_weight(l), w.ffn_in_bias(l));
}

/// Everything up to the last norm, whose output is act.normed(2L), for tokens at positions first_position + t; `attend`
/// is called per layer: attention within the batch, or over a cache.
template <Architecture M, class Context, class E, class S, class Attend>
void forward_through(Context& ctx, const Params<M, const E>& w, const Activations<M, E, S>& act, TokenIds tokens,
                     FirstPosition first_position, const DropoutPlan& dropout, Attend&& attend) {
  constexpr NormKind norm_kind = M::config.norm;
  constexpr int L = M::config.layers;
  constexpr PositionKind P = M::config.positions;
  static_assert(
      P == learned || P == rope || P == none,
      "tinygpt: forward_through knows learned, rope and none: write how this PositionKind tells places apart");

  embed(ctx, act.residual(0), tokens, w.token_embedding(), w.position_embedding(), first_position, dropout.embedding());
  norm<norm_kind>(ctx, act.normed(0), act.norm_mean(0), act.norm_rstd(0), act.residual(0), w.norm1_weight(0),
                  w.norm1_bias(0), M::config.norm_eps);
  for (int l = 0; l < L; ++l) {
    const int n2 = 2 * l + 1, next = n2 + 1;
    layer_through<M>(ctx, w, act, l, first_position, dropout, attend);
    linear(ctx, act.branch(), act.hidden(l), w.ffn_out_weight(l), w.ffn_out_bias(l));
    residual_norm<norm_kind>(ctx, act.normed(next), act.residual(next), act.norm_mean(next), act.norm_rstd(next),
                             act.residual(n2), act.branch(), l + 1 < L ? w.norm1_weight(l + 1) : w.final_norm_weight(),
                             l + 1 < L ? w.norm1_bias(l + 1) : w.final_norm_bias(), dropout.feed_forward_branch(l),
                             M::config.norm_eps);
  }
}

/// The forward pass over whole sequences. Saves what `backward` needs in `act`.
template <Architecture M, class Context, class E, class S>
void forward(Context& ctx, const Params<M, const E>& w, const Activations<M, E, S>& act, TokenIds tokens,
             const DropoutPlan& dropout = {}) {
  forward_through<M>(ctx, w, act, tokens, 0, dropout,
                     [&](int l) { attention(ctx, act.attn(l), act.lse(l), read(act.qkv(l)), dropout.attention(l)); });
}

/// The loss of a batch after `forward`: *loss += scale * sum of the losses of the targets that are not ignored.
template <Architecture M, class Context, class E, class S>
void evaluate(Context& ctx, S* loss, const Params<M, const E>& w, const Activations<M, E, S>& act, TokenIds targets,
              double scale) {
  loss_head(ctx, loss, act.losses(), act.logits(), act.normed(2 * M::config.layers), w.head_weight(), w.head_bias(),
            targets, scale);
}

/// After `forward`: *loss as `evaluate` gives it, and its gradient, added to `d`. What the plan of `act` does not keep
/// is computed again, by the same operations on the same inputs: the gradient is the same, bit for bit.
template <Architecture M, class Context, class E, class S>
void backward(Context& ctx, S* loss, const Params<M, S>& d, const Params<M, const E>& w,
              const Activations<M, E, S>& act, TokenIds tokens, TokenIds targets, double scale,
              const DropoutPlan& dropout = {}) {
  constexpr NormKind norm_kind = M::config.norm;
  constexpr int L = M::config.layers;
  const auto d_residual = act.d_residual();
  const auto norm1_again = [&](int l) {
    norm<norm_kind>(ctx, act.normed(2 * l), act.norm_mean(2 * l), act.norm_rstd(2 * l), act.residual(2 * l),
                    w.norm1_weight(l), w.norm1_bias(l), M::config.norm_eps);
  };
  const auto norm2_again = [&](int l) {
    norm<norm_kind>(ctx, act.normed(2 * l + 1), act.norm_mean(2 * l + 1), act.norm_rstd(2 * l + 1),
                    act.residual(2 * l + 1), w.norm2_weight(l), w.norm2_bias(l), M::config.norm_eps);
  };
  const auto attend = [&](int l) { attention(ctx, act.attn(l), act.lse(l), read(act.qkv(l)), dropout.attention(l)); };

  loss_head_gradient(ctx, loss, act.losses(), act.d_normed(), d.head_weight(), d.head_bias(), act.logits(),
                     act.normed(2 * L), w.head_weight(), w.head_bias(), targets, scale);
  fill_zero(ctx, {d_residual.data(), static_cast<std::size_t>(d_residual.size())});
  for (int l = L - 1; l >= 0; --l) {
    const int n1 = 2 * l, n2 = n1 + 1, next = n1 + 2;

    if (act.recompute() == Recompute::activations) activation(ctx, act.hidden(l), read(act.ffn_in(l)));
    if (act.recompute() == Recompute::blocks && l + 1 < L) {  // of the last layer the forward pass has left everything
      norm1_again(l);
      layer_through<M>(ctx, w, act, l, 0, dropout, attend);
    }
    residual_norm_backward<norm_kind>(
        ctx, d_residual, act.branch(), l + 1 < L ? d.norm1_weight(l + 1) : d.final_norm_weight(),
        l + 1 < L ? d.norm1_bias(l + 1) : d.final_norm_bias(), act.d_normed(), act.residual(next), act.norm_mean(next),
        act.norm_rstd(next), l + 1 < L ? w.norm1_weight(l + 1) : w.final_norm_weight(), dropout.feed_forward_branch(l));
    linear_backward(ctx, act.d_hidden(), d.ffn_out_weight(l), d.ffn_out_bias(l), act.branch(), act.hidden(l),
                    w.ffn_out_weight(l));
    if (act.recompute() != Recompute::none) norm2_again(l);
    linear_activation_backward(ctx, act.d_normed(), d.ffn_in_weight(l), d.ffn_in_bias(l), act.ffn_in(l), act.d_hidden(),
                               act.ffn_in(l), act.normed(n2), w.ffn_in_weight(l));

    residual_norm_backward<norm_kind>(ctx, d_residual, act.branch(), d.norm2_weight(l), d.norm2_bias(l), act.d_normed(),
                                      act.residual(n2), act.norm_mean(n2), act.norm_rstd(n2), w.norm2_weight(l),
                                      dropout.attention_branch(l));
    linear_backward(ctx, act.d_attn(), d.attn_out_weight(l), d.attn_out_bias(l), act.branch(), act.attn(l),
                    w.attn_out_weight(l));
    attention_backward(ctx, act.d_qkv(), act.d_attn(), act.attn(l), act.lse(l), act.qkv(l), dropout.attention(l));
    if (act.recompute() != Recompute::none) norm1_again(l);
    qkv_backward(ctx, act.d_normed(), d.qkv_weight(l), d.qkv_bias(l), d.q_norm_weight(l), d.k_norm_weight(l),
                 act.d_qkv(), act.normed(n1), w.qkv_weight(l), act.qk_raw(l), act.qk_rstd(l), w.q_norm_weight(l),
                 w.k_norm_weight(l), read(act.rope_table()));
  }
  residual_norm_backward<norm_kind>(ctx, d_residual, {}, d.norm1_weight(0), d.norm1_bias(0), act.d_normed(),
                                    act.residual(0), act.norm_mean(0), act.norm_rstd(0), w.norm1_weight(0), {});
  embed_backward(ctx, d.token_embedding(), d.position_embedding(), d_residual, tokens, dropout.embedding());
}

}  // namespace tinygpt

// The decode loop: a prompt in, tokens out, over a KV cache whose size is in the type.
#pragma once

#include <vector>

#include <tinygpt/generate/sampler.hpp>
#include <tinygpt/layout/arena.hpp>
#include <tinygpt/train/step.hpp>

namespace tinygpt {

/// Generates from weights of type M on a backend. All memory is allocated here, once.
template <Architecture M, class Context> class Generator {
 public:
  using E = typename Context::element;

  /// `weights` is an arena laid out by M::params, which must outlive the generator. Throws std::bad_alloc.
  Generator(Context& ctx, std::span<const E> weights)
      : ctx_(ctx),
        weights_(weights.data()),
        plan_(M::config, 1, M::config.ctx, ActivationPlan::For::inference),
        activations_(plan_.size()),
        cache_(2 * M::config.layers * cache_size) {
    if (const auto table = activations(1).rope_table()) fill_rope(ctx_, table, M::config.rope_base);
  }

  /// Calls emit(token) for each new token, until max_new_tokens have come or emit returns false. The prompt must hold
  /// at least one token; of a longer one than the context, the end is read. When the context is full, the newer half
  /// of it is read again and generation goes on.
  template <class Emit>
  void generate(std::span<const std::int32_t> prompt, int max_new_tokens, const SampleOptions& options, Emit&& emit) {
    constexpr std::size_t ctx_length = M::config.ctx;
    Sampler sample(options, M::config.vocab);
    std::vector<std::int32_t> window(prompt.begin(), prompt.end());
    std::size_t read = 0;  // tokens of the window that the cache holds
    const auto keep_last = [&](std::size_t n) {
      window.erase(window.begin(), window.end() - static_cast<std::ptrdiff_t>(n));
      read = 0;
    };
    if (window.size() > ctx_length) keep_last(ctx_length);
    for (int i = 0; i < max_new_tokens; ++i) {
      if (window.size() > ctx_length) keep_last((ctx_length + 1) / 2);
      const auto logits = decode(std::span(window).subspan(read), static_cast<int>(read));
      read = window.size();
      window.push_back(sample(logits, static_cast<std::uint64_t>(i)));
      if (!emit(window.back())) return;
    }
  }

  /// Reads tokens at positions first_position, first_position + 1, ... after those already in the cache, and returns
  /// the logits (V) that follow the last of them.
  std::span<const E> decode(std::span<const std::int32_t> tokens, int first_position) {
    const auto n = static_cast<int>(tokens.size());
    const auto act = activations(n);
    const Params<M, const E> w(weights_);
    forward_through<M>(ctx_, w, act, TokenIds(tokens.data(), 1, n), first_position, {}, [&](int l) {
      decode_attention(ctx_, act.attn(l), keys(l), values(l), read(act.qkv(l)), first_position);
    });
    using C = typename AxesOf<M>::C;
    using V = typename AxesOf<M>::V;
    const Tensor<const E, Batch<dyn>, Time<dyn>, C> last(act.normed(0).data() + std::int64_t{n - 1} * C::value, 1, 1);
    const Tensor<E, Batch<dyn>, Time<dyn>, V> logits(act.logits().data(), 1, 1);
    linear(ctx_, logits, last, w.head_weight(), w.head_bias());
    return {logits.data(), static_cast<std::size_t>(V::value)};
  }

 private:
  using Cache = Tensor<E, typename AxesOf<M>::T, typename AxesOf<M>::Keys>;
  static constexpr std::int64_t cache_size = std::int64_t{M::config.ctx} * M::config.kv_width();

  Activations<M, E> activations(int n) { return {activations_.data(), plan_, 1, n}; }
  Cache keys(int l) { return Cache(cache_.data() + 2 * l * cache_size); }
  Cache values(int l) { return Cache(cache_.data() + (2 * l + 1) * cache_size); }

  Context& ctx_;
  const E* weights_;
  ActivationPlan plan_;
  Arena<E> activations_;
  Arena<E> cache_;
};

}  // namespace tinygpt

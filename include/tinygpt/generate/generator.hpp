// The decode loop: a prompt in, tokens out, over a KV cache whose size is in the type.
#pragma once

#include <vector>

#include <tinygpt/generate/sampler.hpp>
#include <tinygpt/train/step.hpp>

namespace tinygpt {

/// Generates from weights of type M on a backend. All memory is allocated here, once.
template <Architecture M, class Context> class Generator {
 public:
  using E = typename Context::element;
  using S = typename Context::accumulator;

  /// `weights` is an arena laid out by M::params in the backend's memory, which must outlive the generator. Throws
  /// std::bad_alloc.
  Generator(Context& ctx, std::span<const E> weights)
      : ctx_(ctx),
        weights_(weights.data()),
        memory_(allocate(ctx, plan().bytes() + aligned(2 * M::config.layers * cache_size * sizeof(E)) +
                                  aligned(M::config.ctx * sizeof(std::int32_t)) + aligned(sizeof(int)))),
        logits_(M::config.vocab) {
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
    copy_in(ctx_, ids(), tokens);
    copy_in(ctx_, position(), std::span<const int>(&first_position, 1));
    const auto read_tokens = [&] { decode_from_memory(n); };
    n == 1 ? replay(ctx_, one_token_, read_tokens) : read_tokens();
    copy_out(ctx_, std::span<E>(logits_), activations(n).logits().data());
    return logits_;
  }

 private:
  using Views = Activations<M, E, S>;
  using Cache = Tensor<E, typename AxesOf<M>::T, typename AxesOf<M>::Keys>;
  static constexpr std::int64_t cache_size = std::int64_t{M::config.ctx} * M::config.kv_width();

  /// decode() on what lies in the backend's memory.
  void decode_from_memory(int n) {
    const auto act = activations(n);
    const Params<M, const E> w(weights_);
    const Deferred<int> first_position(0, position());
    forward_through<M>(ctx_, w, act, TokenIds(ids(), 1, n), first_position, {}, [&](int l) {
      decode_attention(ctx_, act.attn(l), keys(l), values(l), read(act.qkv(l)), first_position);
    });
    using C = typename AxesOf<M>::C;
    using V = typename AxesOf<M>::V;
    const Tensor<const E, Batch<dyn>, Time<dyn>, C> last(act.normed(0).data() + std::int64_t{n - 1} * C::value, 1, 1);
    const Tensor<E, Batch<dyn>, Time<dyn>, V> logits(act.logits().data(), 1, 1);
    linear(ctx_, logits, last, w.head_weight(), w.head_bias());
  }

  static constexpr ActivationPlan plan() { return Views::inference_plan(1, M::config.ctx); }
  Views activations(int n) { return {memory_.data(), plan(), 1, n}; }
  E* cache(int which) { return reinterpret_cast<E*>(memory_.data() + plan().bytes()) + which * cache_size; }
  Cache keys(int l) { return Cache(cache(2 * l)); }
  Cache values(int l) { return Cache(cache(2 * l + 1)); }
  std::byte* after_cache() {
    return memory_.data() + plan().bytes() + aligned(2 * M::config.layers * cache_size * sizeof(E));
  }
  std::int32_t* ids() { return reinterpret_cast<std::int32_t*>(after_cache()); }
  int* position() { return reinterpret_cast<int*>(after_cache() + aligned(M::config.ctx * sizeof(std::int32_t))); }

  Context& ctx_;
  const E* weights_;
  decltype(allocate(std::declval<Context&>(), std::int64_t{})) memory_;
  std::vector<E> logits_;
  typename Context::Recording one_token_;
};

}  // namespace tinygpt

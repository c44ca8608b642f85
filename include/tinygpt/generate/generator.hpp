// The decode loop: prompts in, tokens out, over KV caches whose sizes are in the type.
#pragma once

#include <algorithm>
#include <concepts>
#include <vector>

#include <tinygpt/generate/sampler.hpp>
#include <tinygpt/train/step.hpp>

namespace tinygpt {

/// What is called with each token, or piece of text: it returns nothing, or a bool of which false ends the text.
template <class Emit, class... Arguments>
concept EmitCallback = std::invocable<Emit&, Arguments...> &&
    (std::is_void_v<std::invoke_result_t<Emit&, Arguments...>> ||
     std::is_constructible_v<bool, std::invoke_result_t<Emit&, Arguments...>>);

/// Calls emit; true where the text goes on.
template <class Emit, class... Arguments>
requires EmitCallback<Emit, Arguments...>
bool wants_more(Emit& emit, Arguments... arguments) {
  if constexpr (std::is_void_v<std::invoke_result_t<Emit&, Arguments...>>)
    return emit(arguments...), true;
  else
    return static_cast<bool>(emit(arguments...));
}

/// What has weights to generate from: a Trainer.
template <class T>
concept Trained = requires(T& trained) {
  trained.generation_weights();
  typename T::Model;
};

/// Generates from weights of type M on a backend. All of the backend's memory is allocated here, once.
template <Architecture M, class Context = DefaultContext> class Generator {
 public:
  using E = typename Context::element;
  using S = typename Context::accumulator;

  /// `weights` is an arena laid out by M::params in the backend's memory, which must outlive the generator; `batch`
  /// sequences are generated at once, each with a cache of its own. Throws std::bad_alloc.
  Generator(Context& ctx, std::span<const E> weights, Batch<> batch = Batch{1})
      : ctx_(ctx),
        batch_(batch.size),
        weights_(weights.data()),
        memory_(allocate(ctx, after_cache() + aligned(most_tokens() * sizeof(std::int32_t)) +
                                  aligned(batch_ * static_cast<std::int64_t>(sizeof(int))))),
        logits_(static_cast<std::size_t>(batch_) * vocab),
        steps_(static_cast<std::size_t>(batch_)) {
    if (const auto table = activations(1, 1).rope_table()) fill_rope(ctx_, table, M::config.rope_base);
  }

  /// From the weights of a trainer, which must outlive the generator; after each of its steps they are the new ones. In
  /// bf16 they are the rounded copies, not Trainer::weights().
  template <Trained T>
  Generator(Context& ctx, T& trainer, Batch<> batch = Batch{1}) : Generator(ctx, trainer.generation_weights(), batch) {
    static_assert(std::is_same_v<typename T::Model, M>, "tinygpt: Generator<M> needs a trainer of the same model M");
  }

  /// Calls emit(token) for each new token, until max_new_tokens have come or emit returns false; it may return nothing.
  /// The prompt must hold at least one token; of a longer one than the context, the end is read. When the context is
  /// full, the newer half of it is read again and generation goes on.
  template <class Emit>
  void generate(std::span<const std::int32_t> prompt, int max_new_tokens, const SampleOptions& options, Emit&& emit) {
    if constexpr (config::stage<rule::callback_takes_a_token<EmitCallback<Emit, std::int32_t>, Emit>>()) {
      const std::vector<std::int32_t> only(prompt.begin(), prompt.end());
      write(std::span(&only, 1), max_new_tokens, options, [&](std::size_t, std::int32_t id) { return emit(id); });
    }
  }

  /// The same for many prompts, as many at once as the generator's batch: calls emit(i, token) for prompt i, which
  /// draws with options.seed + i. On a backend whose products have the same bits for any number of rows (reference, and
  /// cpu without oneDNN), its tokens do not depend on the prompts beside it.
  template <class Emit>
  void generate(std::span<const std::vector<std::int32_t>> prompts, int max_new_tokens, const SampleOptions& options,
                Emit&& emit) {
    if constexpr (config::stage<rule::callback_takes_a_token<EmitCallback<Emit, std::size_t, std::int32_t>, Emit>>()) {
      write(prompts, max_new_tokens, options, emit);
    }
  }

 private:
  /// The loop of both generate().
  template <class Emit>
  void write(std::span<const std::vector<std::int32_t>> prompts, int max_new_tokens, const SampleOptions& options,
             Emit&& emit) {
    if (max_new_tokens <= 0) return;
    Sampler sample(options, M::config.vocab);
    std::vector<Sequence> sequences;
    std::size_t next = 0;  // prompt
    while (next < prompts.size() && next < static_cast<std::size_t>(batch_)) {
      sequences.emplace_back(next, prompts[next]);
      ++next;
    }
    const auto go_on = [&](Sequence& s, std::span<const E> logits) {
      s.read = s.window.size();
      s.window.push_back(sample(logits, static_cast<std::uint64_t>(s.written), s.prompt));
      if (wants_more(emit, s.prompt, s.window.back()) && ++s.written < max_new_tokens) {
        if (s.window.size() > ctx_length) s.keep_last((ctx_length + 1) / 2);
      } else if (next < prompts.size()) {
        s = Sequence(next, prompts[next]);
        ++next;
      } else {
        s.ended = true;
      }
    };
    while (true) {
      for (std::size_t i = 0; i < sequences.size(); ++i) {
        Sequence& s = sequences[i];
        while (!s.ended && s.unread().size() > 1) {
          go_on(s, read_prompt(static_cast<int>(i), s.unread(), static_cast<int>(s.read)));
        }
      }
      while (!sequences.empty() && sequences.back().ended) sequences.pop_back();
      if (sequences.empty()) return;
      std::vector<std::int32_t> tokens;
      std::vector<int> positions;
      for (const Sequence& s : sequences) {
        const std::size_t at = s.ended ? s.read - 1 : s.read;  // what has ended writes the same into its cache again
        tokens.push_back(s.window[at]);
        positions.push_back(static_cast<int>(at));
      }
      const auto logits = read_one_each(tokens, positions);
      for (std::size_t i = 0; i < sequences.size(); ++i) {
        if (!sequences[i].ended) go_on(sequences[i], logits.subspan(i * vocab, vocab));
      }
    }
  }

 public:
  /// Reads tokens at positions first_position, first_position + 1, ... after those already in the first cache, and
  /// returns the logits (V) that follow the last of them.
  std::span<const E> decode(std::span<const std::int32_t> tokens, int first_position) {
    return tokens.size() == 1 ? read_one_each(tokens, std::span<const int>(&first_position, 1))
                              : read_prompt(0, tokens, first_position);
  }

 private:
  using Views = Activations<M, E, S>;
  using Cache = Tensor<E, Batch<dyn>, typename AxesOf<M>::T, typename AxesOf<M>::Keys>;
  static constexpr std::size_t ctx_length = M::config.ctx, vocab = M::config.vocab;
  static constexpr std::int64_t cache_size = std::int64_t{M::config.ctx} * M::config.kv_width();

  /// One prompt on its way.
  struct Sequence {
    std::size_t prompt;
    std::vector<std::int32_t> window;  ///< tokens that the model sees
    std::size_t read = 0;              ///< of the window, what the cache holds
    int written = 0;
    bool ended = false;

    Sequence(std::size_t i, std::span<const std::int32_t> tokens) : prompt(i), window(tokens.begin(), tokens.end()) {
      if (window.size() > ctx_length) keep_last(ctx_length);
    }
    void keep_last(std::size_t n) {
      window.erase(window.begin(), window.end() - static_cast<std::ptrdiff_t>(n));
      read = 0;
    }
    std::span<const std::int32_t> unread() const { return std::span(window).subspan(read); }
  };

  /// Several tokens of one sequence; the logits (V) that follow the last.
  std::span<const E> read_prompt(int sequence, std::span<const std::int32_t> tokens, int first_position) {
    const auto n = static_cast<int>(tokens.size());
    copy_in(ctx_, ids(), tokens);
    forward_from_memory(sequence, 1, n, first_position);
    return logits(1, n);
  }

  /// One token of each of the first sequences; the logits (B, V).
  std::span<const E> read_one_each(std::span<const std::int32_t> tokens, std::span<const int> at) {
    const auto n = static_cast<int>(tokens.size());
    copy_in(ctx_, ids(), tokens);
    copy_in(ctx_, positions(), at);
    replay(ctx_, steps_[static_cast<std::size_t>(n - 1)],
           [&] { forward_from_memory(0, n, 1, FirstPosition(positions())); });
    return logits(n, 1);
  }

  /// T tokens of each of B sequences from `sequence` on, which lie in the backend's memory.
  void forward_from_memory(int sequence, int B, int T, FirstPosition first_position) {
    using C = typename AxesOf<M>::C;
    using V = typename AxesOf<M>::V;
    const auto act = activations(B, T);
    const Params<M, const E> w(weights_);
    forward_through<M>(ctx_, w, act, TokenIds(ids(), B, T), first_position, {}, [&](int l) {
      const Cache keys(cache(2 * l, sequence), B), values(cache(2 * l + 1, sequence), B);
      decode_attention(ctx_, act.attn(l), keys, values, read(act.qkv(l)), first_position);
    });
    // A prompt is one sequence, of which the last token counts; else each has one token.
    const Tensor<const E, Batch<dyn>, Time<dyn>, C> last(act.normed(0).data() + std::int64_t{T - 1} * C::value, B, 1);
    const Tensor<E, Batch<dyn>, Time<dyn>, V> out(act.logits().data(), B, 1);
    linear(ctx_, out, last, w.head_weight(), w.head_bias());
  }

  std::span<const E> logits(int B, int T) {
    const std::span<E> to(logits_.data(), static_cast<std::size_t>(B) * vocab);
    copy_out(ctx_, to, activations(B, T).logits().data());
    return to;
  }

  ActivationPlan plan() const { return generation_plan(M::config, batch_, {sizeof(E), sizeof(S)}); }
  Views activations(int B, int T) { return {memory_.data(), plan(), B, T}; }
  std::int64_t most_tokens() const { return std::max(M::config.ctx, batch_); }
  std::int64_t after_cache() const {
    return plan().bytes() + aligned(2 * M::config.layers * batch_ * cache_size * static_cast<std::int64_t>(sizeof(E)));
  }
  E* cache(int which, int sequence) {
    return reinterpret_cast<E*>(memory_.data() + plan().bytes()) +
           (std::int64_t{which} * batch_ + sequence) * cache_size;
  }
  std::int32_t* ids() { return reinterpret_cast<std::int32_t*>(memory_.data() + after_cache()); }
  int* positions() {
    return reinterpret_cast<int*>(memory_.data() + after_cache() + aligned(most_tokens() * sizeof(std::int32_t)));
  }

  Context& ctx_;
  int batch_;
  const E* weights_;
  decltype(allocate(std::declval<Context&>(), std::int64_t{})) memory_;
  std::vector<E> logits_;
  std::vector<typename Context::Recording> steps_;  ///< one for each number of sequences
};

template <class Context, Trained T>
Generator(Context&, T&, Batch<> = Batch{1}) -> Generator<typename T::Model, Context>;

}  // namespace tinygpt

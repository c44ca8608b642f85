// The activation plan: which intermediate results exist, how large they are for a batch, and which share memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <tinygpt/layout/params.hpp>
#include <tinygpt/layout/storage.hpp>

namespace tinygpt {

/// Every intermediate result of a training step. Those saved for the backward pass live per layer, as far as they are not
/// recomputed; the rest are scratch.
enum class Buffer : int {
  residual,   ///< residual stream as each norm reads it: before norm1 and norm2 of each layer, and before the last
  normed,     ///< output of each of those norms
  norm_mean,  ///< statistics of each of those norms
  norm_rstd,
  qkv,     ///< queries, keys, values as attention reads them
  qk_raw,  ///< the projection before QK-norm and RoPE; only with QK-norm
  qk_rstd,
  attn,        ///< output of attention, before its projection
  lse,         ///< log-sum-exp of each query's scores
  ffn_in,      ///< before the nonlinearity; becomes its own gradient in the backward pass
  hidden,      ///< after the nonlinearity
  branch,      ///< output of a residual branch, then gradient of it
  d_residual,  ///< gradient of the residual stream
  d_normed,    ///< gradient of a norm's output
  d_hidden,    // scratch of one phase each: feed-forward backward,
  d_attn,      // attention backward,
  d_qkv,
  logits,  // loss head: a chunk of rows
  losses,
  rope_table,  ///< cosines and sines of every position
  count
};

struct BufferRow {
  const char* name = "";
  std::int64_t copies = 0;  ///< how many layers' worth are kept
  std::int64_t size = 0;    ///< numbers in one copy
  std::int64_t stride = 0;  ///< bytes from one copy to the next
  std::int64_t offset = 0;  ///< byte of the first copy
};

/// Rows of logits that the loss head holds at once: enough for good matrix products, bounded in memory. What is more than
/// enough on a CPU (8 MiB in float32, or 256 rows) keeps a GPU waiting for memory: with every chunk all of the head's
/// gradient is read and written, and a GPU has some hundred FLOPs for each byte. Precision says which it is, as GPUs train in
/// bf16: up to 256 MiB there, which a CPU in bf16 has no use for, and no harm from; but at most two numbers a parameter, so
/// that the chunk of a small model does not outweigh the model.
constexpr std::int64_t logits_rows(const Config& c, std::int64_t tokens, Storage storage = {}) {
  constexpr std::int64_t least = 1 << 21, most = 1 << 27;
  const std::int64_t numbers =
      storage == storage_of(bf16) ? std::clamp(size_product(2, ParamTable(c).param_count()), least, most) : least;
  return std::min(tokens, std::max<std::int64_t>(256, numbers / c.vocab));
}

/// What a batch of B x T tokens needs; the same constexpr arithmetic lays the arena out and answers questions about it.
class ActivationPlan {
 public:
  enum class For { training, inference, evaluation };  ///< evaluation: forward, and the loss of every token

  constexpr ActivationPlan(const Config& c, std::int64_t batch, std::int64_t time, For purpose = For::training,
                           Recompute recompute = Recompute::none, Storage storage = {})
      : recompute_(recompute) {
    if (recompute != Recompute::none && recompute != Recompute::activations && recompute != Recompute::blocks) {
      throw std::invalid_argument("tinygpt: ActivationPlan does not know this Recompute: say which buffers it keeps");
    }
    const std::int64_t n = size_product(batch, time);
    const auto per_token = [n](std::int64_t width) { return size_product(n, width); };
    const std::int64_t qk_heads = c.query_heads + c.kv_heads;
    const bool train = purpose == For::training;
    const std::int64_t layers = train ? c.layers : 1;
    const std::int64_t norms = train ? 2 * layers + 1 : 2;
    const std::int64_t kept = recompute == Recompute::blocks ? 1 : layers;  // of what a layer computes inside
    const std::int64_t cheap = recompute == Recompute::none ? kept : 1;     // of what is quickly computed again
    const int e = storage.element, a = storage.accumulator;
    add(Buffer::residual, "residual", recompute == Recompute::blocks ? layers + 2 : norms, per_token(c.embd), e);
    add(Buffer::normed, "normed", train && recompute == Recompute::none ? norms : 1, per_token(c.embd), e);
    add(Buffer::norm_mean, "norm_mean", norms, c.norm == layer ? n : 0, a);
    add(Buffer::norm_rstd, "norm_rstd", norms, n, a);
    add(Buffer::qkv, "qkv", kept, per_token(c.qkv_width()), e);
    add(Buffer::qk_raw, "qk_raw", kept, c.qk_norm ? per_token(c.qkv_width()) : 0, e);
    add(Buffer::qk_rstd, "qk_rstd", kept, c.qk_norm ? per_token(qk_heads) : 0, a);
    add(Buffer::attn, "attn", kept, per_token(c.query_width()), e);
    add(Buffer::lse, "lse", kept, per_token(c.query_heads), a);
    add(Buffer::ffn_in, "ffn_in", kept, per_token(c.ffn_in_width()), e);
    add(Buffer::hidden, "hidden", cheap, per_token(c.ffn), e);
    add(Buffer::branch, "branch", 1, per_token(c.embd), e);
    if (train) {
      add(Buffer::d_residual, "d_residual", 1, per_token(c.embd), e);
      add(Buffer::d_normed, "d_normed", 1, per_token(c.embd), e);
    }
    add(Buffer::losses, "losses", 1, n, a);
    add(Buffer::rope_table, "rope", 1, c.positions == rope ? std::int64_t{c.ctx} * c.head_dim : 0, a);

    // One phase at a time uses what follows, so the phases share memory.
    const std::int64_t shared = end_;
    std::int64_t end = shared;
    const auto phase_ends = [&] { end = std::max(end, end_), end_ = shared; };
    if (train) {
      add(Buffer::d_hidden, "d_hidden", 1, per_token(c.ffn), e);
      phase_ends();
      add(Buffer::d_attn, "d_attn", 1, per_token(c.query_width()), e);
      add(Buffer::d_qkv, "d_qkv", 1, per_token(c.qkv_width()), e);
      phase_ends();
    }
    add(Buffer::logits, "logits", 1,
        size_product(purpose == For::inference ? batch : logits_rows(c, n, storage), c.vocab), e);
    phase_ends();
    end_ = end;
  }

  constexpr const BufferRow& operator[](Buffer b) const { return rows_[static_cast<std::size_t>(b)]; }
  /// Bytes of the whole arena.
  constexpr std::int64_t bytes() const { return end_; }
  constexpr Recompute recompute() const { return recompute_; }

 private:
  constexpr void add(Buffer b, const char* name, std::int64_t copies, std::int64_t size, int bytes) {
    const std::int64_t stride = aligned(size_product(size, bytes));
    rows_[static_cast<std::size_t>(b)] = {name, copies, size, stride, end_};
    end_ = size_sum(end_, size_product(copies, stride));
  }

  std::array<BufferRow, static_cast<std::size_t>(Buffer::count)> rows_{};
  std::int64_t end_ = 0;
  Recompute recompute_;
};

/// What generating `batch` sequences at once needs: to read a prompt as long as the context, or one token of each.
constexpr ActivationPlan generation_plan(const Config& c, std::int64_t batch, Storage storage = {}) {
  const std::int64_t tokens = std::max<std::int64_t>(c.ctx, batch), each = (tokens + batch - 1) / batch;
  return {c, batch, each, ActivationPlan::For::inference, Recompute::none, storage};
}

/// Typed views of the activations of a batch (B, T) in one arena of plan.bytes() bytes: E is the type of elements, S of
/// statistics and losses.
template <Architecture M, class E, class S = E> class Activations {
  using A = AxesOf<M>;

 public:
  /// The plan for these types.
  static constexpr ActivationPlan plan(int batch, int time, Recompute recompute = Recompute::none) {
    return {M::config, batch, time, ActivationPlan::For::training, recompute, {sizeof(E), sizeof(S)}};
  }
  static constexpr ActivationPlan inference_plan(int batch, int time) {
    return {M::config, batch, time, ActivationPlan::For::inference, Recompute::none, {sizeof(E), sizeof(S)}};
  }

  Activations(std::byte* arena, const ActivationPlan& plan, int batch, int time)
      : arena_(arena), plan_(plan), batch_(batch), time_(time) {}

  int batch() const { return batch_; }
  int time() const { return time_; }
  Recompute recompute() const { return plan_.recompute(); }

  // `norm` counts the norms in the order in which they run: 2l and 2l + 1 in layer l, 2L at the end.
  auto residual(int norm) const {
    // Where blocks are recomputed, the stream inside a layer has one place, behind those before the layers.
    const int copy = recompute() != Recompute::blocks ? norm : norm % 2 == 0 ? norm / 2 : M::config.layers + 1;
    return tokens<E, typename A::C>(Buffer::residual, copy);
  }
  auto normed(int norm) const { return tokens<E, typename A::C>(Buffer::normed, norm); }
  auto norm_mean(int norm) const { return tokens<S>(Buffer::norm_mean, norm); }
  auto norm_rstd(int norm) const { return tokens<S>(Buffer::norm_rstd, norm); }

  auto qkv(int l) const { return tokens<E, typename A::QkvRows>(Buffer::qkv, l); }
  auto qk_raw(int l) const { return tokens<E, typename A::QkvRows>(Buffer::qk_raw, l); }
  auto qk_rstd(int l) const {
    return tokens<S, PerHead<M::config.query_heads + M::config.kv_heads>>(Buffer::qk_rstd, l);
  }
  auto attn(int l) const { return tokens<E, typename A::Queries>(Buffer::attn, l); }
  auto lse(int l) const { return tokens<S, PerHead<M::config.query_heads>>(Buffer::lse, l); }
  auto ffn_in(int l) const { return tokens<E, typename A::FfnRows>(Buffer::ffn_in, l); }
  auto hidden(int l) const { return tokens<E, typename A::F>(Buffer::hidden, l); }

  auto branch() const { return tokens<E, typename A::C>(Buffer::branch, 0); }
  auto d_residual() const { return tokens<E, typename A::C>(Buffer::d_residual, 0); }
  auto d_normed() const { return tokens<E, typename A::C>(Buffer::d_normed, 0); }
  auto d_hidden() const { return tokens<E, typename A::F>(Buffer::d_hidden, 0); }
  auto d_attn() const { return tokens<E, typename A::Queries>(Buffer::d_attn, 0); }
  auto d_qkv() const { return tokens<E, typename A::QkvRows>(Buffer::d_qkv, 0); }
  auto losses() const { return tokens<S>(Buffer::losses, 0); }

  /// A chunk of rows of logits.
  auto logits() const {
    const auto rows = static_cast<int>(plan_[Buffer::logits].size / M::config.vocab);
    return Tensor<E, Time<dyn>, typename A::V>(data<E>(Buffer::logits, 0), rows);
  }
  /// Per position D/2 cosines, then D/2 sines; null without RoPE.
  auto rope_table() const { return Tensor<S, typename A::T, typename A::D>(data<S>(Buffer::rope_table, 0)); }

 private:
  template <class N> N* data(Buffer b, int copy) const {
    const BufferRow& row = plan_[b];
    if (row.size == 0) return nullptr;
    return reinterpret_cast<N*>(arena_ + row.offset + copy % std::max<std::int64_t>(row.copies, 1) * row.stride);
  }
  template <class N, class... Axes> auto tokens(Buffer b, int copy) const {
    return Tensor<N, Batch<dyn>, Time<dyn>, Axes...>(data<N>(b, copy), batch_, time_);
  }

  std::byte* arena_;
  ActivationPlan plan_;
  int batch_, time_;
};

}  // namespace tinygpt

// The axes of tensors. An axis is a type with a constant `value`, its extent; `dyn` where only the data knows.
// The words that a user writes in GPT<...> (Embd, Ctx, Vocab, Ffn, HeadDim) are axes as they are.
#pragma once

#include <tinygpt/config/options.hpp>

namespace tinygpt {

/// Extent that is known only at run time.
inline constexpr int dyn = -1;

/// Sequences in a batch (B). As a value, Batch{8} says how many where bytes or FLOPs are asked for.
template <int B = dyn> struct Batch {
  static constexpr int value = B;
  int size = B;
};
Batch(int)->Batch<dyn>;

/// Tokens of a sequence in this batch (T <= Ctx). As a value, Time{256}.
template <int N = dyn> struct Time {
  static constexpr int value = N;
  int size = N;
};
Time(int)->Time<dyn>;

/// All heads of the joined query, key and value projection side by side: Hq query heads, then Hkv key heads, then Hkv
/// value heads, Dh numbers each.
template <int Q, int KV, int D> struct Qkv {
  static constexpr int query = Q, kv = KV, head_dim = D;
  static constexpr int value = (Q + 2 * KV) * D;
};

/// Hq heads of Dh numbers side by side: what attention puts out.
template <int Q, int D> struct QueryHeads { static constexpr int value = Q * D; };

/// Hkv heads of Dh numbers side by side: one position's keys or values in the cache.
template <int KV, int D> struct KvHeads { static constexpr int value = KV * D; };

/// One number per query head.
template <int Q> struct PerHead { static constexpr int value = Q; };

/// Rows of the first feed-forward matrix: F, or where K is gated F gate rows and then F up rows.
template <int F, ActivationKind K> struct FfnIn { static constexpr int value = is_gated(K) ? 2 * F : F; };

}  // namespace tinygpt

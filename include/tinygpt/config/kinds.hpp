// The choices among which some options choose, and the one plain struct into which all options resolve.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>

namespace tinygpt {

// A new enumerator needs its place in words.hpp, in the functions of this file that choose, and in each backend. Where
// one is forgotten, what is compiled next says so: docs/how-to/add-an-activation.md has the list.

enum class ActivationKind { relu, gelu, gelu_tanh, swiglu };
enum class NormKind { layer, rms };
enum class PositionKind { learned, rope, none };
enum class HeadKind { tied, untied };

/// For the last branch of a choice: static_assert(has_branch<K>, ...). No kind may be computed as another one.
template <auto Kind> inline constexpr bool has_branch = false;

/// A set of the linear layers that carry a bias.
enum class BiasSet : unsigned {
  none = 0,
  attn_in = 1,
  attn_out = 2,
  ffn = 4,
  head = 8,
  all = attn_in | attn_out | ffn
};

constexpr BiasSet operator|(BiasSet a, BiasSet b) {
  return static_cast<BiasSet>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool contains(BiasSet set, BiasSet member) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(member)) != 0;
}

// The short names that users write inside the options: Activation<gelu_tanh>, Norm<rms>, Bias<attn_in | ffn>.
inline constexpr ActivationKind relu = ActivationKind::relu;
inline constexpr ActivationKind gelu = ActivationKind::gelu;
inline constexpr ActivationKind gelu_tanh = ActivationKind::gelu_tanh;
inline constexpr ActivationKind swiglu = ActivationKind::swiglu;
inline constexpr NormKind layer = NormKind::layer;
inline constexpr NormKind rms = NormKind::rms;
inline constexpr PositionKind learned = PositionKind::learned;
inline constexpr PositionKind rope = PositionKind::rope;
inline constexpr HeadKind tied = HeadKind::tied;
inline constexpr HeadKind untied = HeadKind::untied;
inline constexpr BiasSet attn_in = BiasSet::attn_in;
inline constexpr BiasSet attn_out = BiasSet::attn_out;
inline constexpr BiasSet ffn = BiasSet::ffn;
inline constexpr BiasSet head = BiasSet::head;
inline constexpr BiasSet all = BiasSet::all;

// Words of other libraries, which are no kinds here. Activation<silu> is refused by a sentence that lists the kinds;
// without these it would be a name that the compiler does not know.
enum class foreign {
  silu,
  swish,
  geglu,
  gelu_new,
  quick_gelu,
  layernorm,
  layer_norm,
  rmsnorm,
  rms_norm,
  alibi,
  sinusoidal,
  rotary
};
inline constexpr foreign silu = foreign::silu;
inline constexpr foreign swish = foreign::swish;
inline constexpr foreign geglu = foreign::geglu;
inline constexpr foreign gelu_new = foreign::gelu_new;
inline constexpr foreign quick_gelu = foreign::quick_gelu;
inline constexpr foreign layernorm = foreign::layernorm;
inline constexpr foreign layer_norm = foreign::layer_norm;
inline constexpr foreign rmsnorm = foreign::rmsnorm;
inline constexpr foreign rms_norm = foreign::rms_norm;
inline constexpr foreign alibi = foreign::alibi;
inline constexpr foreign sinusoidal = foreign::sinusoidal;
inline constexpr foreign rotary = foreign::rotary;

/// `none` is an answer to two questions: Positions<none> and Bias<none>.
struct None {
  constexpr operator PositionKind() const { return PositionKind::none; }
  constexpr operator BiasSet() const { return BiasSet::none; }
};
inline constexpr None none{};

/// What is added to a mean of squares before its root is inverted, unless somebody says another number. Sources:
/// GPT-2's and Qwen3's released configurations.
constexpr double default_norm_eps(NormKind kind) {
  switch (kind) {
    case NormKind::layer:
      return 1e-5;
    case NormKind::rms:
      return 1e-6;
  }
  throw std::invalid_argument("tinygpt: default_norm_eps has no number for this NormKind: add its case");
}

/// Is the first feed-forward matrix a gate and what it multiplies? Then it has 2F rows, else F.
constexpr bool is_gated(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::relu:
    case ActivationKind::gelu:
    case ActivationKind::gelu_tanh:
      return false;
    case ActivationKind::swiglu:
      return true;
  }
  throw std::invalid_argument("tinygpt: is_gated has no answer for this ActivationKind: add its case");
}

/// F where Ffn<F> is not given: 4C, or int(8C / 3) with a gate, which has as many weights. A width whose F no int has,
/// as a file may say, gives the nearest int; it is refused for its size.
constexpr int default_ffn(ActivationKind kind, int embd) {
  const long long F = is_gated(kind) ? 8LL * embd / 3 : 4LL * embd;
  return static_cast<int>(std::clamp<long long>(F, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
}

/// Less vanishes in float32 beside what is normalised, more would be no small change of it.
inline constexpr float least_norm_eps = 1e-12f, most_norm_eps = 0.1f;

constexpr bool norm_eps_fits(double eps) {
  if (!(eps > 0 && eps < 1)) return false;  // a float cannot have every double
  const auto narrow = static_cast<float>(eps);
  return narrow >= least_norm_eps && narrow <= most_norm_eps;
}

/// The decimal of fewest digits that is the same number in float32, where norms are computed and some files keep it:
/// 9.999999747378752e-06, which is what float32 makes of 1e-5, is 1e-5. So epsilons are equal where norms are.
constexpr double plain_norm_eps(double eps) {
  if (!norm_eps_fits(eps)) return eps;
  double power = 1;  // of ten: exact up to 10^22
  for (int digits = 1; digits <= 22; ++digits) {
    power *= 10;
    const double plain = static_cast<double>(static_cast<long long>(eps * power + 0.5)) / power;
    if (static_cast<float>(plain) == static_cast<float>(eps)) return plain;
  }
  return eps;
}

/// An architecture, fully resolved. A plain value, so that the same constexpr functions count parameters, bytes and
/// FLOPs for a type at compile time and for a JSON file at run time.
struct Config {
  int layers = 0;
  int embd = 0;
  int query_heads = 0;
  int kv_heads = 0;
  int ctx = 0;
  int head_dim = 0;
  int vocab = 50304;
  int ffn = 0;
  ActivationKind activation = ActivationKind::gelu;
  NormKind norm = NormKind::layer;
  double norm_eps = default_norm_eps(norm);
  PositionKind positions = PositionKind::learned;
  int rope_base = 10'000;
  bool qk_norm = false;
  BiasSet bias = BiasSet::none;
  HeadKind head = HeadKind::tied;

  /// The epsilon of QK-norm, which is an RMSNorm beside LayerNorm too.
  constexpr double qk_norm_eps() const { return norm == NormKind::rms ? norm_eps : default_norm_eps(NormKind::rms); }
  /// Width of all query heads side by side; C unless HeadDim says otherwise.
  constexpr int query_width() const { return query_heads * head_dim; }
  /// Width of all key heads (or value heads) side by side.
  constexpr int kv_width() const { return kv_heads * head_dim; }
  /// Rows of the joined query, key and value projection.
  constexpr int qkv_width() const { return query_width() + 2 * kv_width(); }
  /// Rows of the first feed-forward matrix: F, or gate and up rows where the activation is gated.
  constexpr int ffn_in_width() const { return is_gated(activation) ? 2 * ffn : ffn; }

  friend constexpr bool operator==(const Config&, const Config&) = default;
};

}  // namespace tinygpt

// The sizes of an architecture that a person gave at run time: the rules of config/rules.hpp with the nearest right
// values, in the words of JSON configs (n_embd, n_head, ...).
#pragma once

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <tinygpt/config/kinds.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt {

/// One thing that is wrong, and what to write instead.
struct Mistake {
  int line = 0;       ///< in the file; 0 where there is none
  std::string field;  ///< "n_embd"
  std::string what;   ///< "must be a multiple of n_head (12), not 770"
  std::string write;  ///< "768 or 780"
  std::string advice = {};  ///< where nothing is to be written: "remove it"

  /// What to do about it: "write 768 or 780". Empty where the first half says it all.
  std::string to_do() const { return !advice.empty() ? advice : write.empty() ? "" : "write " + write; }
};

/// A size that a person can give, with the largest that still can be counted: no product of these overflows.
struct SizeField {
  const char* name;
  int Config::*member;
  int most;
};

inline constexpr SizeField size_fields[] = {
    {"n_layer", &Config::layers, 10'000},      {"n_embd", &Config::embd, 1'000'000},
    {"n_head", &Config::query_heads, 100'000}, {"n_kv_head", &Config::kv_heads, 100'000},
    {"head_dim", &Config::head_dim, 100'000},  {"ffn_hidden", &Config::ffn, 10'000'000},
    {"block_size", &Config::ctx, 10'000'000},  {"vocab_size", &Config::vocab, 10'000'000},
};

/// The numbers that 0 leaves open, as GPT<...> chooses them: Hkv = Hq, Dh = C / Hq, F = 4C or int(8C / 3), the epsilon
/// of the kind of norm.
constexpr Config completed(Config c) {
  if (c.kv_heads == 0) c.kv_heads = c.query_heads;
  if (c.head_dim == 0 && c.query_heads != 0) c.head_dim = c.embd / c.query_heads;
  if (c.ffn == 0) c.ffn = default_ffn(c.activation, c.embd);
  if (c.norm_eps == 0) c.norm_eps = default_norm_eps(c.norm);
  return c;
}

namespace size_check {

inline std::string nearest_multiples(std::int64_t value, std::int64_t unit) {
  const std::int64_t below = value / unit * unit;
  return (below > 0 ? std::to_string(below) + " or " : "") + std::to_string(below + unit);
}

/// The divisors of `whole` nearest to `value`, found among the pairs d and whole / d: sqrt(whole) steps.
inline std::string nearest_divisors(int value, int whole) {
  value = std::min(value, whole);
  int below = 1, above = whole;
  for (int d = 1; std::int64_t{d} * d <= whole; ++d) {
    if (whole % d != 0) continue;
    for (const int divisor : {d, whole / d}) {
      if (divisor <= value) below = std::max(below, divisor);
      if (divisor >= value) above = std::min(above, divisor);
    }
  }
  return below == above ? std::to_string(below) : std::to_string(below) + " or " + std::to_string(above);
}

}  // namespace size_check

/// Do the sizes fit together? `c` as given, 0 where left open or already reported.
inline void check_sizes(const Config& c,
                        const std::function<void(const char* field, std::string, std::string)>& wrong) {
  using namespace size_check;
  const auto text = [](int n) { return std::to_string(n); };
  if (c.embd > 0 && c.query_heads > 0 && c.head_dim == 0) {
    const std::int64_t unit = std::int64_t{c.query_heads} * (c.positions == rope ? 2 : 1);
    if (c.embd % c.query_heads != 0) {
      wrong("n_embd", "must be a multiple of n_head (" + text(c.query_heads) + "), not " + text(c.embd),
            nearest_multiples(c.embd, unit));
    } else if (c.embd % unit != 0) {
      wrong("n_embd",
            "gives heads of n_embd / n_head = " + text(c.embd / c.query_heads) +
                ", which must be even: RoPE rotates pairs",
            nearest_multiples(c.embd, unit));
    }
  }
  if (c.head_dim % 2 != 0 && c.positions == rope) {
    wrong("head_dim", "must be even, not " + text(c.head_dim) + ": RoPE rotates pairs",
          nearest_multiples(c.head_dim, 2));
  }
  if (c.query_heads > 0 && c.kv_heads > 0 && c.query_heads % c.kv_heads != 0) {
    wrong("n_kv_head", "must divide n_head (" + text(c.query_heads) + "), not " + text(c.kv_heads),
          nearest_divisors(c.kv_heads, c.query_heads));
  }
  if (std::int64_t{c.query_heads} * c.head_dim > 1'000'000) {
    wrong("head_dim", "makes the heads wider than 1000000 together", text(1'000'000 / c.query_heads));
  }
}

/// Are the tensors of a file so narrow that the gaps between them in the arena, where each begins at a multiple of 64
/// numbers, would take more memory than they do? Such a model is nobody's, and a small file must not ask for much. A
/// few gaps, of 64 K numbers together, are a small model's.
constexpr bool too_narrow(const ParamTable& table) {
  return table.arena_size() - table.param_count() > table.param_count() / 2 + (std::int64_t{1} << 16);
}

/// An upper bound of the bytes to train on a batch, for sizes whose exact product might not fit 64 bits.
inline double train_bytes_bound(const Config& c, std::int64_t batch) {
  const double tokens = static_cast<double>(batch) * c.ctx, C = c.embd, F = c.ffn;
  const double qkv = static_cast<double>(c.query_heads + 2.0 * c.kv_heads) * c.head_dim;
  return 4 * tokens * ((c.layers + 1.0) * (8 * C + 4 * F + 4 * qkv + 8.0 * c.query_heads) + c.vocab);
}

}  // namespace tinygpt

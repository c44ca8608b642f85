// Where the parameters of an architecture are, part by part, from the same table that gives the type its count.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <tinygpt/cli/tool/catalogue.hpp>

namespace tinygpt::cli::tool {

enum class Part : int { embeddings, attention, feed_forward, norms, biases, head, count };

inline constexpr std::array<const char*, static_cast<std::size_t>(Part::count)> part_names{
    "embeddings", "attention", "feed-forward", "norms", "biases", "head"};

constexpr Part part_of(Param id) {
  switch (id) {
    case Param::token_embedding:
    case Param::position_embedding:
      return Part::embeddings;
    case Param::qkv_weight:
    case Param::attn_out_weight:
      return Part::attention;
    case Param::ffn_in_weight:
    case Param::ffn_out_weight:
      return Part::feed_forward;
    case Param::head_weight:
      return Part::head;
    case Param::qkv_bias:
    case Param::attn_out_bias:
    case Param::ffn_in_bias:
    case Param::ffn_out_bias:
    case Param::head_bias:
      return Part::biases;
    case Param::norm1_weight:
    case Param::norm1_bias:
    case Param::q_norm_weight:
    case Param::k_norm_weight:
    case Param::norm2_weight:
    case Param::norm2_bias:
    case Param::final_norm_weight:
    case Param::final_norm_bias:
    case Param::count:
      break;
  }
  return Part::norms;
}

using Breakdown = std::array<std::int64_t, static_cast<std::size_t>(Part::count)>;

constexpr Breakdown breakdown(const ParamTable& table) {
  Breakdown parts{};
  for (const ParamRow& row : table) parts[static_cast<std::size_t>(part_of(row.id))] += row.size();
  return parts;
}

/// What each part is made of, in letters and in the numbers of one architecture.
inline std::array<std::string, static_cast<std::size_t>(Part::count)> formulas(const Config& c) {
  const auto n = [](std::int64_t v) { return std::to_string(v); };
  const bool gated = is_gated(c.activation), ln = c.norm == layer, grouped_heads = c.kv_heads != c.query_heads;
  const std::string L = n(c.layers), C = n(c.embd), F = n(c.ffn), V = n(c.vocab), Dh = n(c.head_dim);
  const std::string q = n(c.query_heads), kv = n(c.kv_heads), norm = ln ? "2" : "1";
  std::array<std::string, static_cast<std::size_t>(Part::count)> text;
  text[0] = "V C" + std::string(c.positions == learned ? " + T C" : "") + " = " + V + " x " + C +
            (c.positions == learned ? " + " + n(c.ctx) + " x " + C : "");
  text[1] = grouped_heads || c.query_width() != c.embd
                ? "L (2 C Hq Dh + 2 C Hkv Dh) = " + L + " x (2 x " + C + " x " + q + " x " + Dh + " + 2 x " + C +
                      " x " + kv + " x " + Dh + ")"
                : "L 4 C^2 = " + L + " x 4 x " + C + "^2";
  text[2] = std::string(gated ? "L 3 C F = " : "L 2 C F = ") + L + (gated ? " x 3 x " : " x 2 x ") + C + " x " + F;
  text[3] = std::string(ln ? "(2 L + 1) 2 C" : "(2 L + 1) C") + (c.qk_norm ? " + L 2 Dh" : "") + " = (2 x " + L +
            " + 1) x " + (ln ? "2 x " : "") + C + (c.qk_norm ? " + " + L + " x 2 x " + Dh : "");
  std::string letters, numbers;
  const auto add = [&](BiasSet set, const char* letter, std::int64_t size) {
    if (!contains(c.bias, set)) return;
    letters += (letters.empty() ? "" : " + ") + std::string(letter);
    numbers += (numbers.empty() ? "" : " + ") + n(size);
  };
  add(attn_in, "(Hq + 2 Hkv) Dh", c.qkv_width());
  add(attn_out, "C", c.embd);
  add(BiasSet::ffn, gated ? "2 F + C" : "F + C", std::int64_t{c.ffn_in_width()} + c.embd);
  if (!letters.empty()) letters = "L (" + letters + ")", numbers = L + " x (" + numbers + ")";
  if (contains(c.bias, BiasSet::head)) {
    letters += (letters.empty() ? "V" : " + V"), numbers += (numbers.empty() ? "" : " + ") + V;
  }
  text[4] = letters.empty() ? "none" : letters + " = " + numbers;
  text[5] = c.head == untied ? "V C = " + V + " x " + C : "tied: the token embedding's matrix";
  return text;
}

}  // namespace tinygpt::cli::tool

// An architecture as JSON, and as the C++ type that a user would write.
#pragma once

#include <string>

#include <tinygpt/config/words.hpp>
#include <tinygpt/io/json.hpp>
#include <tinygpt/io/norm_eps.hpp>
#include <tinygpt/layout/storage.hpp>

namespace tinygpt {

namespace config_text {

// Not of the architecture, but said by words too.
inline constexpr Words<Precision, 2> precisions{{{Precision::float32, "float32"}, {Precision::bf16, "bf16"}}};
inline constexpr Words<Recompute, 3> recomputes{
    {{Recompute::none, "none"}, {Recompute::activations, "activations"}, {Recompute::blocks, "blocks"}}};

template <class Kind, std::size_t N>
Kind kind_of(const Words<Kind, N>& words, const Json& json, const char* key, const std::filesystem::path& path) {
  if (const auto kind = kind_of(words, member<std::string>(json, key, path))) return *kind;
  throw damaged(path, "'" + std::string(key) + "' must be one of " + choices(words));
}

/// "attn_in | ffn", as inside Bias<...>.
inline std::string bias_text(BiasSet set) {
  std::string text;
  const auto add = [&](BiasSet member, const char* word) {
    if (contains(set, member)) text += (text.empty() ? "" : " | ") + std::string(word);
  };
  if ((static_cast<unsigned>(set) & static_cast<unsigned>(BiasSet::all)) == static_cast<unsigned>(BiasSet::all)) {
    text = "all";
  } else {
    add(BiasSet::attn_in, "attn_in");
    add(BiasSet::attn_out, "attn_out");
    add(BiasSet::ffn, "ffn");
  }
  add(BiasSet::head, "head");
  return text.empty() ? "none" : text;
}

/// Calls f(name, member) for each size of an architecture, in the order of the options.
template <class C, class F> void for_each_size(C& config, F&& f) {
  f("layers", config.layers);
  f("embd", config.embd);
  f("query_heads", config.query_heads);
  f("kv_heads", config.kv_heads);
  f("ctx", config.ctx);
  f("head_dim", config.head_dim);
  f("vocab", config.vocab);
  f("ffn", config.ffn);
  f("rope_base", config.rope_base);
}

}  // namespace config_text

/// The type, without the options that have their default: "GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>>".
inline std::string type_text(const Config& c) {
  namespace text = config_text;
  const auto number = [](int n) { return std::to_string(n); };
  std::string type = "GPT<Layers<" + number(c.layers) + ">, Embd<" + number(c.embd) + ">, Heads<" +
                     number(c.query_heads) + (c.kv_heads != c.query_heads ? ", " + number(c.kv_heads) : "") +
                     ">, Ctx<" + number(c.ctx) + ">";
  const auto add = [&](const std::string& option) { type += ", " + option; };
  if (c.head_dim != c.embd / c.query_heads) add("HeadDim<" + number(c.head_dim) + ">");
  if (c.vocab != Config{}.vocab) add("Vocab<" + number(c.vocab) + ">");
  if (c.ffn != default_ffn(c.activation, c.embd)) add("Ffn<" + number(c.ffn) + ">");
  if (c.activation != Config{}.activation) add("Activation<" + text::word_of(text::activations, c.activation) + ">");
  if (c.norm != Config{}.norm || c.norm_eps != default_norm_eps(c.norm)) {
    const std::string eps = c.norm_eps != default_norm_eps(c.norm) ? ", " + shortest_text(c.norm_eps) : "";
    add("Norm<" + text::word_of(text::norms, c.norm) + eps + ">");
  }
  if (c.positions != Config{}.positions || c.rope_base != Config{}.rope_base) {
    const std::string base = c.rope_base != Config{}.rope_base ? ", " + number(c.rope_base) : "";
    add("Positions<" + text::word_of(text::positions, c.positions) + base + ">");
  }
  if (c.qk_norm) add("QkNorm");
  if (c.bias != Config{}.bias) add("Bias<" + text::bias_text(c.bias) + ">");
  if (c.head != Config{}.head) add("Head<" + text::word_of(text::heads, c.head) + ">");
  return type + ">";
}

inline Json config_to_json(const Config& config) {
  namespace text = config_text;
  Json json;
  text::for_each_size(config, [&](const char* name, int size) { json[name] = size; });
  json["activation"] = text::word_of(text::activations, config.activation);
  json["norm"] = text::word_of(text::norms, config.norm);
  json["norm_eps"] = config.norm_eps;
  json["positions"] = text::word_of(text::positions, config.positions);
  json["qk_norm"] = config.qk_norm;
  json["bias"] = text::bias_text(config.bias);
  json["head"] = text::word_of(text::heads, config.head);
  return json;
}

/// Every field must be there, of its type and in its range, but for the epsilon of norms, which was not a choice once;
/// whether the sizes fit together is not asked.
inline Config config_from_json(const Json& json, const std::filesystem::path& path) {
  namespace text = config_text;
  Config config;
  text::for_each_size(config, [&](const char* name, int& size) {
    size = member<int>(json, name, path);
    if (size < 1) throw damaged(path, "'" + std::string(name) + "' must be 1 or more");
  });
  config.activation = text::kind_of(text::activations, json, "activation", path);
  config.norm = text::kind_of(text::norms, json, "norm", path);
  config.norm_eps = default_norm_eps(config.norm);
  if (json.contains("norm_eps")) {
    const auto eps = norm_eps_of_file(member<double>(json, "norm_eps", path));
    if (!eps) throw damaged(path, "'norm_eps' " + std::string(norm_eps_range));
    config.norm_eps = *eps;
  }
  config.positions = text::kind_of(text::positions, json, "positions", path);
  config.qk_norm = member<bool>(json, "qk_norm", path);
  config.head = text::kind_of(text::heads, json, "head", path);
  const auto bias = member<std::string>(json, "bias", path);
  for (unsigned set = 0; set <= static_cast<unsigned>(BiasSet::all | BiasSet::head); ++set) {
    config.bias = static_cast<BiasSet>(set);
    if (text::bias_text(config.bias) == bias) return config;
  }
  throw damaged(path, "'bias' must be none, all, or attn_in, attn_out, ffn and head joined by ' | '");
}

/// "layers 4, here 6; norm rms, here layer": where the first differs from the second.
inline std::string differences(const Config& theirs, const Config& ours) {
  const Json a = config_to_json(theirs), b = config_to_json(ours);
  std::string text;
  for (const auto& [key, value] : a.items()) {
    if (value == b[key]) continue;
    const auto plain = [](const Json& v) { return v.is_string() ? v.get<std::string>() : v.dump(); };
    text += (text.empty() ? "" : "; ") + key + " " + plain(value) + ", here " + plain(b[key]);
  }
  return text;
}

}  // namespace tinygpt

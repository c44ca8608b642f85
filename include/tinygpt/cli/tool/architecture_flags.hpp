// An architecture from flags or from questions, in the words of JSON configs.
#pragma once

#include <iostream>
#include <optional>
#include <string>

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/io/model_file.hpp>

namespace tinygpt::cli::tool {

/// 0 and nothing: not given.
struct ArchitectureFlags {
  Config config{.ctx = 1024, .norm_eps = 0};
  bool given = false;

  /// The config, once it is whole; the first thing that is wrong with it otherwise.
  Config checked() const {
    for (const auto& [name, member, most] : size_fields) {
      const std::string_view field = name;
      if (config.*member == 0 && (field == "n_layer" || field == "n_embd" || field == "n_head")) {
        throw UsageError("--n-layer, --n-embd and --n-head are needed together: see --help");
      }
    }
    check_sizes(config, [](const char* field, const std::string& what, const std::string& write) {
      std::string flag = "--" + std::string(field);
      std::replace(flag.begin(), flag.end(), '_', '-');
      throw UsageError(flag + " " + what + ": write " + write);
    });
    return completed(config);
  }
};

template <class Kind, std::size_t N>
Kind parse_word(const std::string& flag, const std::string& word, const config_text::Words<Kind, N>& words) {
  std::string choices;
  for (const auto& [kind, w] : words) {
    if (w == word) return kind;
    choices += (choices.empty() ? "" : ", ") + std::string(w);
  }
  throw UsageError(flag + " must be one of " + choices + ", not '" + printable(word) + "': see --help");
}

inline constexpr config_text::Words<PositionKind, 3> position_words{
    {{PositionKind::learned, "learned"}, {PositionKind::rope, "rope"}, {PositionKind::none, "none"}}};

/// "all", "none", or names joined by commas.
inline BiasSet parse_bias(const std::string& text) {
  BiasSet set = BiasSet::none;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, comma - at);
    at = comma + 1;
    if (word == "all" || word == "true")
      set = set | BiasSet::all;
    else if (word == "attn_in")
      set = set | attn_in;
    else if (word == "attn_out")
      set = set | attn_out;
    else if (word == "ffn")
      set = set | BiasSet::ffn;
    else if (word == "head")
      set = set | BiasSet::head;
    else if (word != "none" && word != "false")
      throw UsageError("--bias must be all, none, or attn_in, attn_out, ffn and head joined by commas, not '" +
                       printable(text) + "': see --help");
  }
  return set;
}

inline int parse_size(std::string_view flag, std::string_view text, int most) {
  return static_cast<int>([&] {
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [at, fault] = std::from_chars(text.data(), end, value);
    if (text.empty() || at != end || fault != std::errc{} || value < 1 || value > most) {
      throw UsageError(std::string(flag) + " must be a whole number from 1 to " + std::to_string(most) + ", not '" +
                       printable(text) + "': see --help");
    }
    return value;
  }());
}

inline void add_flags(CLI::App& app, ArchitectureFlags& flags) {
  static constexpr const char* help[] = {"Layers (L)",
                                         "Width (C)",
                                         "Query heads (Hq)",
                                         "Key/value heads (Hkv) (default --n-head)",
                                         "Size of a head (Dh) (default C / Hq)",
                                         "Feed-forward width (F) (default 4C; swiglu: 8C / 3)",
                                         "Context (T) (default 1024)",
                                         "Vocabulary (V) (default 50304)"};
  for (std::size_t i = 0; i < std::size(size_fields); ++i) {
    const SizeField& field = size_fields[i];
    std::string flag = "--" + std::string(field.name);
    std::replace(flag.begin(), flag.end(), '_', '-');
    const auto set = [&flags, &field, flag](const std::string& text) {
      flags.config.*field.member = parse_size(flag, text, field.most);
      flags.given = true;
    };
    app.add_option_function<std::string>(flag, set, help[i])->type_name("N")->take_last();
  }
  const auto word = [&](const char* flag, const char* text, auto set) {
    const auto note = [&flags, set](const std::string& w) { set(w), flags.given = true; };
    app.add_option_function<std::string>(flag, note, text)->type_name("WORD")->take_last();
  };
  Config& c = flags.config;
  word("--mlp-type", "relu, gelu, gelu_tanh or swiglu (default gelu)",
       [&c](const std::string& w) { c.activation = parse_word("--mlp-type", w, config_text::activations); });
  word("--norm-type", "layernorm or rmsnorm (default layernorm)",
       [&c](const std::string& w) { c.norm = parse_word("--norm-type", w, model_file::norms); });
  const auto set_norm_eps = [&flags](const double& eps) {
    const auto fits = norm_eps_of_file(eps);
    if (!fits)
      throw UsageError("--norm-eps " + std::string(norm_eps_range) + ", not " + shortest_text(eps) + ": see --help");
    flags.config.norm_eps = *fits;
    flags.given = true;
  };
  app.add_option_function<double>("--norm-eps", set_norm_eps, "Epsilon of norms (default 1e-5; rmsnorm: 1e-6)")
      ->type_name("X")
      ->take_last();
  word("--pos-encoding", "learned, rope or none (default learned)",
       [&c](const std::string& w) { c.positions = parse_word("--pos-encoding", w, position_words); });
  word("--rope-theta", "Base of RoPE's angles (default 10000)",
       [&c](const std::string& w) { c.rope_base = parse_size("--rope-theta", w, INT_MAX); });
  const auto flag = [&](const char* name, const char* text, auto set) {
    app.add_flag_callback(
        name, [&flags, set] { set(), flags.given = true; }, text);
  };
  flag("--qk-norm", "Normalise queries and keys", [&c] { c.qk_norm = true; });
  flag("--untied", "Untied output head", [&c] { c.head = untied; });
  app.add_option_function<std::vector<std::string>>(
         "--bias",
         [&flags](const std::vector<std::string>& sets) {
           flags.config.bias = parse_bias(sets.empty() || sets.front().empty() ? "all" : sets.front());
           flags.given = true;
         },
         "Biases: all, none, or attn_in,attn_out,ffn,head (alone: all)")
      ->type_name("SET")
      ->expected(0, 1);
}

/// Asks for the sizes one after the other, again where an answer cannot be.
inline Config ask_for_architecture() {
  ArchitectureFlags flags;
  const auto ask = [](const std::string& question, const std::string& otherwise, const auto& take) {
    for (;;) {
      std::fprintf(stderr, "%s [%s]: ", question.c_str(), otherwise.c_str());
      std::string answer;
      if (!std::getline(std::cin, answer))
        throw Error("the answers ended before the questions: answer each, or use flags");
      try {
        return take(answer.empty() ? otherwise : answer);
      } catch (const UsageError& error) {
        std::fprintf(
            stderr, "  %s\n",
            printable(std::string_view(error.what()).substr(0, std::string_view(error.what()).rfind(": see"))).c_str());
      }
    }
  };
  Config& c = flags.config;
  const auto size = [&](const char* question, int Config::*member, int otherwise, int most) {
    ask(question, std::to_string(otherwise),
        [&](const std::string& text) { c.*member = parse_size(question, text, most); });
  };
  size("layers", &Config::layers, 12, 10'000);
  size("width", &Config::embd, 768, 1'000'000);
  ask("query heads", "12", [&](const std::string& text) {
    c.query_heads = parse_size("query heads", text, 100'000);
    static_cast<void>(flags.checked());
  });
  ask("key/value heads", std::to_string(c.query_heads), [&](const std::string& text) {
    c.kv_heads = parse_size("key/value heads", text, 100'000);
    static_cast<void>(flags.checked());
  });
  size("context", &Config::ctx, 1024, 10'000'000);
  size("vocabulary", &Config::vocab, 50304, 10'000'000);
  ask("activation (relu, gelu, gelu_tanh, swiglu)", "gelu",
      [&](const std::string& w) { c.activation = parse_word("activation", w, config_text::activations); });
  size("feed-forward width", &Config::ffn, completed(c).ffn, 10'000'000);
  ask("norm (layernorm, rmsnorm)", "layernorm",
      [&](const std::string& w) { c.norm = parse_word("norm", w, model_file::norms); });
  ask("positions (learned, rope, none)", "learned", [&](const std::string& w) {
    c.positions = parse_word("positions", w, position_words);
    static_cast<void>(flags.checked());
  });
  ask("biases (none, all)", "none", [&](const std::string& w) { c.bias = parse_bias(w); });
  ask("head (tied, untied)", "tied", [&](const std::string& w) { c.head = parse_word("head", w, config_text::heads); });
  return flags.checked();
}

}  // namespace tinygpt::cli::tool

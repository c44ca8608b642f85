// A type as a person writes it, "GPT<Layers<4>, Embd<192>, ...>", read at run time. Only its own words and numbers are
// taken, so what is made of it can be given to a compiler whoever wrote it.
#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/data/utf8.hpp>
#include <tinygpt/error.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/io/nearest_word.hpp>
#include <tinygpt/io/size_check.hpp>

namespace tinygpt {

/// A type that has been read.
struct ParsedType {
  std::string text;              ///< in words and numbers that were understood, and nothing else: safe to compile
  std::optional<Config> config;  ///< nothing where the library's rules refuse the type: the compiler says which one
};

namespace type_parser {

/// An option of GPT<...> whose arguments are whole numbers.
struct Sizes {
  std::string_view word;
  int Config::*first;
  int Config::*second;  ///< null where there is one
};

inline constexpr Sizes sizes[] = {{"Layers", &Config::layers, nullptr},
                                  {"Embd", &Config::embd, nullptr},
                                  {"Heads", &Config::query_heads, &Config::kv_heads},
                                  {"Ctx", &Config::ctx, nullptr},
                                  {"HeadDim", &Config::head_dim, nullptr},
                                  {"Vocab", &Config::vocab, nullptr},
                                  {"Ffn", &Config::ffn, nullptr}};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) { config_.norm_eps = 0; }

  ParsedType parse() {
    if (word() == "tinygpt" && take("::")) next();
    if (word_ != "GPT") fail("begins with '" + printable(word_) + "', not with GPT<");
    std::vector<std::string> seen;
    expect("<");
    std::string made = "GPT<";
    do {
      made += (seen.empty() ? "" : ", ") + option(word());
      seen.push_back(word_);
    } while (take(","));
    expect(">");
    skip_space();
    if (at_ != text_.size()) fail("goes on after its end with '" + printable(text_.substr(at_, 20)) + "'");
    std::vector<std::string> once = seen;
    std::sort(once.begin(), once.end());
    bool right = std::adjacent_find(once.begin(), once.end()) == once.end() && positive_;
    for (const char* const required : {"Layers", "Embd", "Heads", "Ctx"}) {
      right = right && std::binary_search(once.begin(), once.end(), required);
    }
    check_sizes(config_, [&](const char*, const std::string&, const std::string&) { right = false; });
    return {made + ">", right ? std::optional(completed(config_)) : std::nullopt};
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error("the type " + what + ": write it as in GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>>");
  }
  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool take(std::string_view symbol) {
    skip_space();
    if (text_.substr(at_, symbol.size()) != symbol) return false;
    at_ += symbol.size();
    return true;
  }
  void expect(std::string_view symbol) {
    if (take(symbol)) return;
    fail("has '" + printable(text_.substr(at_, 20)) + "' where '" + std::string(symbol) + "' was expected");
  }
  /// The next letters, digits and what belongs to numbers.
  const std::string& next() {
    skip_space();
    const std::size_t begin = at_;
    const auto more = [&](char c) {
      const bool sign = (c == '-' || c == '+') && at_ > begin && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E');
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '\'' || sign;
    };
    while (at_ < text_.size() && more(text_[at_])) ++at_;
    return word_ = std::string(text_.substr(begin, at_ - begin));
  }
  std::string word() { return next(); }

  template <class N> N number(const char* kind) {
    std::string digits = next();
    digits.erase(std::remove(digits.begin(), digits.end(), '\''), digits.end());
    N value{};
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || end != digits.data() + digits.size() || fault != std::errc{}) {
      fail("has '" + printable(word_.empty() ? text_.substr(at_, 20) : word_) + "' where " + kind + " was expected");
    }
    return value;
  }
  int size() {
    constexpr int most = 10'000'000;
    const int value = number<int>("a whole number");
    if (value > most) fail("has a size of " + std::to_string(value) + ", and the largest is " + std::to_string(most));
    positive_ = positive_ && value > 0;
    return value;
  }
  template <class Kind, std::size_t N> Kind one_of(const config_text::Words<Kind, N>& words) {
    if (const auto kind = config_text::kind_of(words, next())) return *kind;
    fail("has '" + printable(word_) + "' where one of " + config_text::choices(words) + " was expected");
  }

  /// Reads the rest of an option, and gives it back as it is written.
  std::string option(const std::string& name) {
    namespace text = config_text;
    std::string made;
    if (name == "QkNorm") {
      config_.qk_norm = true;
    } else if (const auto* const of =
                   std::find_if(std::begin(sizes), std::end(sizes), [&](const Sizes& s) { return s.word == name; });
               of != std::end(sizes)) {
      expect("<");
      made = std::to_string(config_.*of->first = size());
      if (of->second != nullptr && take(",")) made += ", " + std::to_string(config_.*of->second = size());
    } else if (name == "Activation") {
      expect("<");
      made = text::word_of(text::activations, config_.activation = one_of(text::activations));
    } else if (name == "Norm") {
      expect("<");
      made = text::word_of(text::norms, config_.norm = one_of(text::norms));
      if (take(",")) {
        const double eps = number<double>("a number");
        positive_ = positive_ && norm_eps_fits(eps);
        made += ", " + shortest_text(config_.norm_eps = plain_norm_eps(eps));
      }
    } else if (name == "Positions") {
      expect("<");
      made = text::word_of(text::positions, config_.positions = one_of(text::positions));
      if (take(",")) made += ", " + std::to_string(config_.rope_base = base());
    } else if (name == "Bias") {
      expect("<");
      do {
        config_.bias = config_.bias | bias(next());
      } while (take("|"));
      made = text::bias_text(config_.bias);
    } else if (name == "Head") {
      expect("<");
      made = text::word_of(text::heads, config_.head = one_of(text::heads));
    } else {
      const std::vector<std::string> words{"Layers", "Embd",       "Heads", "Ctx",       "HeadDim", "Vocab", "Ffn",
                                           "Norm",   "Activation", "Bias",  "Positions", "QkNorm",  "Head"};
      const auto near = nearest_words(name, words);
      throw Error("the type has the option '" + printable(name.empty() ? text_.substr(at_, 20) : name) +
                  "', which GPT<...> does not know: " +
                  (near.empty() ? "see docs/reference/options.md" : "did you mean " + near.front() + "?"));
    }
    if (name == "QkNorm") return word_ = name;
    expect(">");
    word_ = name;
    return name + "<" + made + ">";
  }
  /// The base of RoPE, which is larger than a size may be.
  int base() {
    const int value = number<int>("a whole number");
    positive_ = positive_ && value > 0;
    return value;
  }
  BiasSet bias(const std::string& name) {
    constexpr config_text::Words<BiasSet, 6> words{{{BiasSet::none, "none"},
                                                    {BiasSet::all, "all"},
                                                    {BiasSet::attn_in, "attn_in"},
                                                    {BiasSet::attn_out, "attn_out"},
                                                    {BiasSet::ffn, "ffn"},
                                                    {BiasSet::head, "head"}}};
    if (const auto member = config_text::kind_of(words, name)) return *member;
    fail("has '" + printable(name) + "' where one of " + config_text::choices(words) + " was expected");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string word_;
  Config config_;
  bool positive_ = true;  ///< is every number in its range?
};

}  // namespace type_parser

/// Reads GPT<...> with its options in any order. Throws Error where it is not made of them.
inline ParsedType parse_type(std::string_view text) { return type_parser::Parser(text).parse(); }

}  // namespace tinygpt

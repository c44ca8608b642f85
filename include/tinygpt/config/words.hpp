// The words of the kinds: what a user writes inside an option, a file keeps and a flag takes.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <tinygpt/config/kinds.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt::config_text {

template <class Kind, std::size_t N> using Words = std::array<std::pair<Kind, std::string_view>, N>;

inline constexpr Words<ActivationKind, 4> activations{{{ActivationKind::relu, "relu"},
                                                       {ActivationKind::gelu, "gelu"},
                                                       {ActivationKind::gelu_tanh, "gelu_tanh"},
                                                       {ActivationKind::swiglu, "swiglu"}}};
inline constexpr Words<NormKind, 2> norms{{{NormKind::layer, "layer"}, {NormKind::rms, "rms"}}};
inline constexpr Words<PositionKind, 3> positions{
    {{PositionKind::learned, "learned"}, {PositionKind::rope, "rope"}, {PositionKind::none, "none"}}};
inline constexpr Words<HeadKind, 2> heads{{{HeadKind::tied, "tied"}, {HeadKind::untied, "untied"}}};

template <class Kind, std::size_t N> constexpr bool has_word(const Words<Kind, N>& words, Kind kind) {
  for (const auto& row : words) {
    if (row.first == kind) return true;
  }
  return false;
}

/// Throws an Error where the table lacks the kind: GPT<...> refuses one of these, so only a number that is no kind
/// does.
template <class Kind, std::size_t N> std::string word_of(const Words<Kind, N>& words, Kind kind) {
  for (const auto& [value, word] : words) {
    if (value == kind) return std::string(word);
  }
  throw Error("the kind " + std::to_string(static_cast<int>(kind)) + " has no word: add it to the table of words");
}

/// "none, activations, blocks"
template <class Kind, std::size_t N> std::string choices(const Words<Kind, N>& words) {
  std::string text;
  for (const auto& [value, word] : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

template <class Kind, std::size_t N> std::optional<Kind> kind_of(const Words<Kind, N>& words, std::string_view text) {
  for (const auto& [value, word] : words) {
    if (word == text) return value;
  }
  return std::nullopt;
}

}  // namespace tinygpt::config_text

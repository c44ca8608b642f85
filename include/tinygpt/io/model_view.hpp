// A model as files know it: a name, an architecture at run time, an arena of weights, and perhaps a tokenizer.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tinygpt/config/kinds.hpp>
#include <tinygpt/data/tokenizer.hpp>

namespace tinygpt {

/// What is to be written. Owns nothing.
struct ModelView {
  std::string name;
  Config config;
  std::span<const float> weights;        ///< an arena laid out by ParamTable(config)
  const Tokenizer* tokenizer = nullptr;  ///< null: there is none
};

/// What was read.
struct LoadedModel {
  std::string name;
  Config config;
  std::vector<float> weights;  ///< an arena laid out by ParamTable(config)
  std::optional<Tokenizer> tokenizer;

  ModelView view() const { return {name, config, weights, tokenizer ? &*tokenizer : nullptr}; }
};

}  // namespace tinygpt

// A model as files know it: a name, an architecture at run time, an arena of weights, and perhaps a tokenizer.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tinygpt/config/kinds.hpp>
#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/companions.hpp>

namespace tinygpt {

/// What is to be written. Owns nothing.
struct ModelView {
  std::string name;
  Config config;
  std::span<const float> weights;          ///< an arena laid out by ParamTable(config)
  const Tokenizer* tokenizer = nullptr;    ///< null: there is none
  const Companions* companions = nullptr;  ///< null: what follows from the tokenizer
};

/// What was read.
struct LoadedModel {
  std::string name;
  Config config;
  std::vector<float> weights;  ///< an arena laid out by ParamTable(config)
  std::optional<Tokenizer> tokenizer;
  Companions companions{};

  ModelView view() const { return {name, config, weights, tokenizer ? &*tokenizer : nullptr, &companions}; }
};

}  // namespace tinygpt

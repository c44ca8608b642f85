// A model without the rows of ids that its tokenizer has no token for.
#pragma once

#include <algorithm>
#include <cstring>

#include <tinygpt/io/model_view.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt {

/// How many ids of a model are no token of its tokenizer: generate never writes one, other programs may.
inline int unused_ids(const LoadedModel& model) {
  return model.tokenizer ? model.config.vocab - model.tokenizer->size() : 0;
}

/// Makes the vocabulary as large as the tokenizer. What the model computes for the ids that are left stays as it was.
inline void cut_vocab(LoadedModel& model) {
  if (unused_ids(model) <= 0) return;
  const ParamTable before(model.config);
  model.config.vocab = model.tokenizer->size();
  const ParamTable after(model.config);
  // In place: tensors keep their order and never grow, so each moves to where nothing is needed any more. Ids are rows.
  for (const ParamRow& row : after) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      const float* const from = model.weights.data() + before[row.id].offset + l * before[row.id].stride;
      float* const to = model.weights.data() + row.offset + l * row.stride;
      std::memmove(to, from, static_cast<std::size_t>(row.layer_size()) * sizeof(float));
      std::fill(to + row.layer_size(), to + row.stride, 0.0f);
    }
  }
  model.weights.resize(static_cast<std::size_t>(after.arena_size()));
}

}  // namespace tinygpt

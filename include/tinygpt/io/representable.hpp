// Are the weights numbers that a file of a type can hold? NaN and infinity are what a training that went wrong leaves,
// or a type that is too narrow makes.
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <string>

#include <tinygpt/error.hpp>
#include <tinygpt/io/model_config.hpp>

namespace tinygpt {

/// The largest number that stays finite in a type. Above it bfloat16 would round to infinity.
inline float largest_of(StoredType type) {
  if (type == StoredType::float16) return 65504;
  if (type == StoredType::bfloat16) return static_cast<float>(bfloat16::from_bits(0x7F7F));
  return std::numeric_limits<float>::max();
}

/// Throws Error unless |x| <= most for all numbers, naming tensor, number and where it stands: in the numbers of the
/// tensor, from 0. `what`: the type that cannot hold it, as a person knows it.
inline void expect_within(std::span<const float> numbers, float most, const std::string& tensor, std::int64_t before,
                          const std::string& what) {
  bool good = true;
  for (const float x : numbers) good &= std::fabs(x) <= most;
  if (good) return;
  std::size_t at = 0;
  while (std::fabs(numbers[at]) <= most) ++at;
  const float x = numbers[at];
  const std::string where = "the tensor '" + tensor + "' holds " + shortest_text(static_cast<double>(x)) + " (number " +
                            std::to_string(before + static_cast<std::int64_t>(at)) + " of it)";
  if (!std::isfinite(x)) {
    throw Error(where +
                ", which no model can compute with: use an earlier checkpoint, or train again with a lower "
                "learning rate");
  }
  throw Error(where + ", which " + what + " cannot hold: write float32, or bf16");
}

/// Throws Error unless all weights of a model are finite, also as numbers of `type`.
inline void expect_representable(const Config& config, std::span<const float> weights, StoredType type) {
  const float most = largest_of(type);
  for (const MappedTensor& tensor : model_tensors(config, layout_of(config))) {
    std::int64_t before = 0;
    for (const ArenaMatrix& part : tensor.parts) {
      tensor_map::for_each_piece(part, weights, nullptr, [&](std::span<const float> piece) {
        expect_within(piece, most, tensor.name, before, hf_config::dtype_name(type));
        before += static_cast<std::int64_t>(piece.size());
      });
    }
  }
}

}  // namespace tinygpt

// The one number of a norm that is no parameter.
#pragma once

#include <tinygpt/config/kinds.hpp>

namespace tinygpt {

/// What is added to a variance before its root is inverted. Sources: GPT-2's and Qwen3's released configurations.
constexpr double norm_epsilon(NormKind kind) { return kind == layer ? 1e-5 : 1e-6; }

}  // namespace tinygpt

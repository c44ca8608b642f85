// Which GPUs are enough for which numbers.
#pragma once

#include <type_traits>

#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::gpu {

/// Is a GPU of this compute capability enough for numbers of type E? Matrix units for bfloat16 begin with Ampere.
template <class E> constexpr bool capable(int major, int minor) {
  return std::is_same_v<E, bfloat16> ? major >= 8 : 10 * major + minor >= 75;
}

}  // namespace tinygpt::gpu

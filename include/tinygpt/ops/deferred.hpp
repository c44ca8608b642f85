// Numbers that an operation reads when it runs, not when it is called.
#pragma once

#include <tinygpt/macros.hpp>

namespace tinygpt {

/// A number, or with `base` that number added to one in the backend's memory. What a backend has recorded once and runs
/// again (a CUDA graph) finds there the step or the position of the day; elsewhere a plain number will do.
template <class N> struct Deferred {
  N number{};
  const N* base = nullptr;

  constexpr Deferred() = default;
  constexpr Deferred(N n, const N* at = nullptr) : number(n), base(at) {}

  TINYGPT_HD constexpr N operator()() const { return base == nullptr ? number : number + *base; }
};

}  // namespace tinygpt

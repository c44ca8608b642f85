// Numbers that an operation reads when it runs, not when it is called.
#pragma once

#include <cstdint>

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

/// The position of each sequence's first token: one for all, or with `of_sequence` those numbers in the backend's
/// memory, which are read when the operation runs.
struct FirstPosition {
  int of_all = 0;
  const int* of_sequence = nullptr;

  constexpr FirstPosition() = default;
  constexpr FirstPosition(int position) : of_all(position) {}
  constexpr explicit FirstPosition(const int* positions) : of_sequence(positions) {}

  TINYGPT_HD constexpr int operator()(std::int64_t sequence) const {
    return of_sequence == nullptr ? of_all : of_sequence[sequence];
  }
};

}  // namespace tinygpt

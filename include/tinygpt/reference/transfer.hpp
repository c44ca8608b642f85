// Memory, and what goes into it and comes out of it.
#pragma once

#include <algorithm>
#include <span>

#include <tinygpt/layout/arena.hpp>
#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// Zeroed memory of so many bytes. Throws std::bad_alloc.
template <class S> Arena<std::byte> allocate(Context<S>&, std::int64_t bytes) { return Arena<std::byte>(bytes); }

/// To the backend's memory, and from it.
template <class S, class N>
void copy_in(Context<S>&, N* to, std::type_identity_t<std::span<const N>> from) {
  std::copy(from.begin(), from.end(), to);
}
template <class S, class N>
void copy_out(Context<S>&, std::type_identity_t<std::span<N>> to, const N* from) {
  std::copy_n(from, to.size(), to.begin());
}
template <class S, class N> void copy_out_later(Context<S>&, Later<N>& later, const std::type_identity_t<N>* from) {
  later.value = *from;
}

template <class S> void fill_zero(Context<S>&, std::type_identity_t<std::span<S>> x) {
  for (S& number : x) number = S(0);
}

/// Elements of masters, rounded where elements have fewer bits: here they have as many.
template <class S>
void convert(Context<S>&, std::type_identity_t<std::span<S>> to, std::type_identity_t<std::span<const S>> from) {
  std::copy(from.begin(), from.end(), to.begin());
}

/// What a backend keeps of operations in order to repeat them: here nothing.
template <class S, class Operations> void replay(Context<S>&, Recording&, Operations&& operations) { operations(); }

}  // namespace tinygpt::reference

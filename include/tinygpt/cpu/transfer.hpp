// Memory, and what goes into it and comes out of it. Twin of reference/transfer.hpp.
#pragma once

#include <algorithm>
#include <span>

#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/layout/arena.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

inline Arena<std::byte> allocate(Context&, std::int64_t bytes) { return Arena<std::byte>(bytes); }

template <class N> void copy_in(Context&, N* to, std::type_identity_t<std::span<const N>> from) {
  std::copy(from.begin(), from.end(), to);
}
template <class N> void copy_out(Context&, std::type_identity_t<std::span<N>> to, const N* from) {
  std::copy_n(from, to.size(), to.begin());
}
template <class N> void copy_out_later(Context&, Later<N>& later, const std::type_identity_t<N>* from) {
  later.value = *from;
}

inline void fill_zero(Context& ctx, std::span<float> x) {
  for_arena_parts(ctx, static_cast<std::int64_t>(x.size()), [&](int, std::int64_t first, std::int64_t last) {
    std::fill(x.begin() + first, x.begin() + last, 0.0f);
  });
}

inline void convert(Context& ctx, std::span<float> to, std::span<const float> from) {
  for_arena_parts(ctx, static_cast<std::int64_t>(to.size()), [&](int, std::int64_t first, std::int64_t last) {
    std::copy(from.begin() + first, from.begin() + last, to.begin() + first);
  });
}

template <class Operations> void replay(Context&, Recording&, Operations&& operations) { operations(); }

}  // namespace tinygpt::cpu

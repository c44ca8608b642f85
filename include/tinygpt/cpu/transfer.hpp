// Memory, and what goes into it and comes out of it. Twin of reference/transfer.hpp.
#pragma once

#include <algorithm>
#include <span>

#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/layout/arena.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

inline Arena<std::byte> allocate(Workers&, std::int64_t bytes) { return Arena<std::byte>(bytes); }

template <class N> void copy_in(Workers&, N* to, std::type_identity_t<std::span<const N>> from) {
  std::copy(from.begin(), from.end(), to);
}
template <class N> void copy_out(Workers&, std::type_identity_t<std::span<N>> to, const N* from) {
  std::copy_n(from, to.size(), to.begin());
}
template <class N> void copy_out_later(Workers&, Later<N>& later, const std::type_identity_t<N>* from) {
  later.value = *from;
}

namespace detail {
template <class N> void fill_zero(Workers& ctx, std::span<N> x) {
  for_arena_parts(ctx, static_cast<std::int64_t>(x.size()), [&](int, std::int64_t first, std::int64_t last) {
    std::fill(x.begin() + first, x.begin() + last, N{});
  });
}
}  // namespace detail

template <class E> void fill_zero(BasicContext<E>& ctx, std::type_identity_t<std::span<E>> x) {
  detail::fill_zero(ctx, x);
}
template <class E>
requires(!std::is_same_v<E, float>) void fill_zero(BasicContext<E>& ctx, std::type_identity_t<std::span<float>> x) {
  detail::fill_zero(ctx, x);
}

template <class E>
void convert(BasicContext<E>& ctx, std::type_identity_t<std::span<E>> to, std::span<const float> from) {
  for_arena_parts(ctx, static_cast<std::int64_t>(to.size()), [&](int, std::int64_t first, std::int64_t last) {
    along(last - first, [&](Lanes lanes) { lanes.store(to.data() + first, lanes.load(from.data() + first)); });
  });
}

template <class Operations> void replay(Workers&, Recording&, Operations&& operations) { operations(); }

}  // namespace tinygpt::cpu

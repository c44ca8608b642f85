// Memory, what goes into it and comes out of it, and operations that are repeated. Twin of cpu/transfer.hpp.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::gpu {

/// Throws an Error that says how much there is, where there is not enough.
template <class E> DeviceMemory allocate(Context<E>& ctx, std::int64_t bytes) {
  DeviceMemory memory(bytes);
  if (bytes > 0) {
    check(cudaMemsetAsync(memory.data(), 0, static_cast<std::size_t>(bytes), ctx.stream()), "cudaMemsetAsync");
  }
  return memory;
}

/// Waits for nothing, and `from` is free again on return. It cannot be recorded: a recording would copy the same
/// numbers again and again, or by then others.
template <class E, class N> void copy_in(Context<E>& ctx, N* to, std::type_identity_t<std::span<const N>> from) {
  if (capturing(ctx.stream())) {
    throw Error("copy_in was called within operations that are recorded: copy before them, to where they read it");
  }
  ctx.staging().copy_in(reinterpret_cast<std::byte*>(to), reinterpret_cast<const std::byte*>(from.data()),
                        static_cast<std::int64_t>(from.size_bytes()), ctx.stream());
}

/// Waits for all operations before it.
template <class E, class N> void copy_out(Context<E>& ctx, std::type_identity_t<std::span<N>> to, const N* from) {
  if (!to.empty()) {
    check(cudaMemcpyAsync(to.data(), from, to.size_bytes(), cudaMemcpyDeviceToHost, ctx.stream()), "cudaMemcpyAsync");
  }
  check(cudaStreamSynchronize(ctx.stream()), "cudaStreamSynchronize");
}

/// Waits for nothing.
template <class E, class N> void copy_out_later(Context<E>& ctx, Later<N>& later, const std::type_identity_t<N>* from) {
  later.copy(from, ctx.stream());
}

template <class E, class Operations> void replay(Context<E>& ctx, Recording& recording, Operations&& operations) {
  recording.replay(ctx.stream(), ctx.scratch_changes(), operations);
}

}  // namespace tinygpt::gpu

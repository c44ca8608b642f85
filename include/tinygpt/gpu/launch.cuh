// Starts kernels. (tests/support/emulator has a twin of this header, which runs them on the host.)
#pragma once

#include <atomic>
#include <type_traits>
#include <utility>

#include <tinygpt/gpu/check.cuh>
#include <tinygpt/gpu/grid.cuh>

namespace tinygpt::gpu {

namespace detail {

/// Shared memory that a kernel may have without asking.
inline constexpr std::size_t shared_without_asking = 48 * 1024;

/// Asks, once per kernel and device, for as much shared memory as the launch wants.
template <auto kernel> void allow_shared_memory(const Grid& grid) {
  constexpr int devices = 64;
  static std::atomic<std::size_t> allowed[devices] = {};
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  std::atomic<std::size_t>& have = allowed[device % devices];
  if (grid.shared_bytes <= have.load(std::memory_order_relaxed)) return;
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(grid.shared_bytes)),
        "cudaFuncSetAttribute for the shared memory of " + kernel_name<kernel>(), grid.place);
  have.store(grid.shared_bytes, std::memory_order_relaxed);
}

/// The arguments take the types of the kernel's parameters here, by the conversions that a plain call would make.
template <auto kernel, class... Parameters>
void start(void (*)(Parameters...), const Grid& grid, std::type_identity_t<Parameters>... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's arguments travel as plain bytes");
  void* addresses[] = {const_cast<void*>(static_cast<const void*>(&arguments))..., nullptr};
  const cudaError_t status = cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid.blocks, grid.threads,
                                              addresses, grid.shared_bytes, grid.stream);
  if (status != cudaSuccess) check(status, "the launch of " + kernel_name<kernel>(), grid.place);
}

}  // namespace detail

/// Runs `kernel`, a __global__ function or an instance of a template of them, on the grid:
///
///   launch<row_softmax<float, 128>>(Grid{rows, 128, sizeof(RowSoftmaxShared), stream}, y, x, width);
///
/// A grid without blocks is no work and starts nothing. Faults of the kernel itself show up in a later call, as always.
template <auto kernel, class... Arguments> void launch(const Grid& grid, Arguments&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
  if (grid.shared_bytes > detail::shared_without_asking) detail::allow_shared_memory<kernel>(grid);
  detail::start<kernel>(kernel, grid, std::forward<Arguments>(arguments)...);
}

}  // namespace tinygpt::gpu

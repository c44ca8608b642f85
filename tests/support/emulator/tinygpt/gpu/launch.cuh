// Twin of include/tinygpt/gpu/launch.cuh for the host: the same launch, run by the emulator.
#pragma once

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <tinygpt/gpu/check.cuh>
#include <tinygpt/gpu/grid.cuh>

namespace tinygpt::gpu {

namespace detail {

/// The limits that a GPU sets to a launch.
inline void expect_grid(const std::string& name, const Grid& grid) {
  const emulator::Limits limits;
  const std::size_t threads = std::size_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  const bool fits = threads > 0 && threads <= limits.threads_per_block && grid.threads.z <= 64 &&
                    grid.blocks.x <= 0x7FFF'FFFFu && grid.blocks.y <= 0xFFFFu && grid.blocks.z <= 0xFFFFu &&
                    grid.shared_bytes <= limits.shared_per_block;
  check(fits ? cudaSuccess : cudaErrorInvalidConfiguration, "the launch of " + name, grid.place);
}

template <auto kernel, class... Parameters>
void start(void (*)(Parameters...), const Grid& grid, std::type_identity_t<Parameters>... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's arguments travel as plain bytes");
  const std::string name = kernel_name<kernel>();
  emulator::Machine::here().expect_host();
  expect_grid(name, grid);
  const bool taken = emulator::submit(grid.stream, [name, grid, all = std::tuple<Parameters...>(arguments...)] {
    emulator::Machine::here().run(name, grid.blocks, grid.threads, grid.shared_bytes,
                                  [&all] { std::apply([](Parameters... own) { kernel(own...); }, all); });
  });
  check(taken ? cudaSuccess : cudaErrorStreamCaptureImplicit, "the launch of " + name, grid.place);
}

}  // namespace detail

template <auto kernel, class... Arguments> void launch(const Grid& grid, Arguments&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
  detail::start<kernel>(kernel, grid, std::forward<Arguments>(arguments)...);
}

}  // namespace tinygpt::gpu

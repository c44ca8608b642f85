// How many blocks and threads a kernel runs on, and what it is called in messages.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>

#include <tinygpt/error.hpp>

namespace tinygpt::gpu {

/// Where and how wide a kernel runs: launch<kernel>(Grid{blocks, threads, sizeof(Shared), stream}, arguments...).
struct Grid {
  dim3 blocks;
  dim3 threads;                  ///< per block
  std::size_t shared_bytes = 0;  ///< per block; the size of what the kernel takes by shared_memory<Shared>()
  cudaStream_t stream = nullptr;
  std::source_location place = std::source_location::current();  ///< of the launch, for messages
};

/// Blocks that cover n things, per_block in each.
inline unsigned blocks_for(std::int64_t n, std::int64_t per_block) {
  constexpr std::int64_t most = 0x7FFF'FFFF;  // of gridDim.x
  const std::int64_t blocks = (n + per_block - 1) / per_block;
  if (blocks > most) {
    throw Error("a grid of " + std::to_string(blocks) + " blocks is more than a GPU takes: use a smaller batch");
  }
  return static_cast<unsigned>(blocks);
}

/// The kernel with its template arguments, as the compiler spells it.
template <auto kernel> std::string kernel_name() {
  const std::string_view whole = __PRETTY_FUNCTION__;
  const auto begin = whole.find("kernel = ") + sizeof("kernel = ") - 1;
  const auto end = whole.find_first_of(";]", begin);
  return std::string(whole.substr(begin, end - begin));
}

}  // namespace tinygpt::gpu

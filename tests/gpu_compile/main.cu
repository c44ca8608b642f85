// A program with the GPU backend: where there is a GPU it runs a kernel that asks a model's type for a size, and where
// there is none it starts all the same and says so.
#include <cuda_runtime.h>

#include <iostream>

#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;
using Model = GPT<Layers<2>, Embd<96>, Heads<6, 2>, Ctx<64>>;

namespace {
// kv_width() is a function for the host that is constexpr, which tinygpt::gpu lets a kernel call.
__global__ void store_kv_width(int* width) { *width = Model::config.kv_width(); }
}  // namespace

int main() {
  int devices = 0;
  const cudaError_t looked = cudaGetDeviceCount(&devices);
  if (looked == cudaErrorNoDevice || looked == cudaErrorInsufficientDriver) {
    std::cout << "no GPU: " << cudaGetErrorString(looked) << '\n';
    return 0;
  }
  int* on_device = nullptr;
  int width = 0;
  if (cudaMalloc(&on_device, sizeof(int)) != cudaSuccess) {
    std::cout << "no memory on the GPU: " << cudaGetErrorString(cudaGetLastError()) << '\n';
    return 1;
  }
  store_kv_width<<<1, 1>>>(on_device);
  const cudaError_t copied = cudaMemcpy(&width, on_device, sizeof(int), cudaMemcpyDeviceToHost);
  std::cout << devices << " GPU, kv width " << width << ": " << cudaGetErrorString(copied) << '\n';
  return copied == cudaSuccess && width == 32 ? 0 : 1;
}

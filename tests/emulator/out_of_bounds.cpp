// Programs that touch memory which is not theirs: AddressSanitizer must end them. The argument says which.
#include <cstdio>
#include <string_view>
#include <vector>

#include <tinygpt/gpu/check.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

using namespace tinygpt::gpu;

namespace {

struct Row {
  float value[60];  // of 240 bytes
};

__global__ void read_beyond_shared(float* y) {
  auto& shared = shared_memory<Row>();
  if (threadIdx.x < 60) shared.value[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = shared.value[threadIdx.x];
}

__global__ void write_ones(float* y) { y[global_thread()] = 1; }

}  // namespace

int main(int argc, char** argv) {
  const std::string_view which = argc == 2 ? argv[1] : "";
  float* y = nullptr;
  check(cudaMalloc(&y, 64 * sizeof(float)), "cudaMalloc");
  if (which == "nothing_wrong") {
    launch<write_ones>(Grid{1, 64}, y);
    std::vector<float> host(64);
    check(cudaMemcpy(host.data(), y, 64 * sizeof(float), cudaMemcpyDeviceToHost), "cudaMemcpy");
    check(cudaFree(y), "cudaFree");
    std::puts(host[63] == 1 ? "done" : "wrong");
  }
  if (which == "beyond_shared_memory") launch<read_beyond_shared>(Grid{1, 64, sizeof(Row)}, y);
  if (which == "beyond_device_memory") launch<write_ones>(Grid{2, 33}, y);
  if (which == "freed_device_memory") {
    check(cudaFree(y), "cudaFree");
    launch<write_ones>(Grid{1, 64}, y);
  }
  if (which == "device_memory_from_the_host") y[0] = 1;
}

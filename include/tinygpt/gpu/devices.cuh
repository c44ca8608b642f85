// Which GPUs this program can use, why not the others, and how fast a card is at its best.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/error.hpp>
#include <tinygpt/gpu/capability.cuh>
#include <tinygpt/gpu/cublaslt_library.cuh>
#include <tinygpt/graphics_cards.hpp>

namespace tinygpt::gpu {

/// One GPU as CUDA numbers them, of those that CUDA_VISIBLE_DEVICES shows.
struct Device {
  std::string why_not;  ///< empty where it can be used; else half a sentence: "there is no NVIDIA driver: install one"
  int number = 0;
  std::string name;  ///< "NVIDIA H200"
  int major = 0, minor = 0;
  std::int64_t total = 0, free = 0;  ///< bytes of its memory
  bool bf16 = false;
  double peak_flops = 0;  ///< dense bf16 products per second, a multiply-add counted as two; 0: not known
};

/// A program has code for a GPU or has none; this kernel stands for all.
template <int Unused> __global__ void code_probe() {}

namespace detail {

inline std::string dotted(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Why no GPU at all can be used; empty where there is one.
inline std::string why_none() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "there is no NVIDIA driver: install one";
  }
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver) {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    return "the NVIDIA driver is for CUDA " + dotted(driver) + ", and this program needs " + dotted(runtime) +
           ": install a newer driver";
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    return "the NVIDIA driver finds no GPU: see what nvidia-smi says, and CUDA_VISIBLE_DEVICES";
  }
  if (status != cudaSuccess) return "CUDA does not start: " + std::string(cudaGetErrorString(status));
  return {};
}

}  // namespace detail

/// Dense bf16 products per second of the card of that name; 0 where the name is not known, where the card has no bf16, and
/// for laptops, whose makers choose the clock.
inline double peak_flops(std::string_view name) {
  const CardName words = card_name(name);
  const GraphicsCard* const card = find_card(words);
  return card != nullptr && !words.has("laptop") ? card->peak_bf16() : 0;
}

/// The GPU of that number; why_not says what is wrong with it. It is the current device afterwards, where it can be
/// used.
inline Device find_device(int number) {
  Device device;
  device.number = number;
  device.why_not = detail::why_none();
  if (!device.why_not.empty()) return device;
  int count = 0;
  cudaGetDeviceCount(&count);
  if (number < 0 || number >= count) {
    device.why_not = "there is no GPU number " + std::to_string(number) + ": the last is " + std::to_string(count - 1);
    return device;
  }
  const auto failed = [&](cudaError_t status) {
    if (status == cudaSuccess) return false;
    cudaGetLastError();
    device.why_not = "CUDA cannot use " + (device.name.empty() ? "GPU " + std::to_string(number) : device.name) + ": " +
                     cudaGetErrorString(status);
    return true;
  };
  cudaDeviceProp properties;
  if (failed(cudaGetDeviceProperties(&properties, number))) return device;
  device.name = properties.name;
  device.major = properties.major;
  device.minor = properties.minor;
  device.total = static_cast<std::int64_t>(properties.totalGlobalMem);
  device.bf16 = capable<bfloat16>(device.major, device.minor);
  device.peak_flops = device.bf16 ? peak_flops(device.name) : 0;
  const std::string capability = std::to_string(device.major) + "." + std::to_string(device.minor);
  if (!capable<float>(device.major, device.minor)) {
    device.why_not = device.name + " has compute capability " + capability + ", and 7.5 is needed: use another card";
    return device;
  }
  if (failed(cudaSetDevice(number))) return device;
  cudaFuncAttributes attributes;
  const cudaError_t code = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(code_probe<0>));
  if (code == cudaErrorNoKernelImageForDevice) {
    cudaGetLastError();
    device.why_not = "this program has no code for " + device.name +
                     ": build it with -DTINYGPT_GPU_ARCHITECTURES=" + std::to_string(device.major) +
                     std::to_string(device.minor);
    return device;
  }
  if (failed(code)) return device;
  std::size_t free = 0, total = 0;
  if (failed(cudaMemGetInfo(&free, &total))) return device;
  device.free = static_cast<std::int64_t>(free);
  try {
    cublaslt();
  } catch (const Error& missing) {
    device.why_not = missing.what();
  }
  return device;
}

/// All of them. Each comes to hold some memory for this program, so one that is to be used is better asked for by
/// number.
inline std::vector<Device> find_devices() {
  std::vector<Device> devices;
  int count = 0;
  if (!detail::why_none().empty() || cudaGetDeviceCount(&count) != cudaSuccess) return devices;
  int current = 0;
  cudaGetDevice(&current);
  for (int number = 0; number < count; ++number) devices.push_back(find_device(number));
  cudaSetDevice(current);
  return devices;
}

}  // namespace tinygpt::gpu

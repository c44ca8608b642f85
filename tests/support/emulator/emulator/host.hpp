// The part of CUDA's host interface that the library uses: memory, streams, events, graphs, the properties of a device.
//
// The device is as small as the smallest GPU that bfloat16 kernels are for (compute capability 8.6).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <emulator/memory.hpp>
#include <emulator/stream.hpp>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureUnjoined = 904,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorStreamCaptureImplicit = 906,
};

/// The name and the sentence of a status.
inline std::pair<const char*, const char*> cuda_error_texts(cudaError_t status) {
#define TINYGPT_EMULATOR_STATUS(name, text) \
  case name:                                \
    return { #name, text }
  switch (status) {
    TINYGPT_EMULATOR_STATUS(cudaSuccess, "no error");
    TINYGPT_EMULATOR_STATUS(cudaErrorInvalidValue, "invalid argument");
    TINYGPT_EMULATOR_STATUS(cudaErrorMemoryAllocation, "out of memory");
    TINYGPT_EMULATOR_STATUS(cudaErrorInvalidConfiguration, "invalid configuration argument");
    TINYGPT_EMULATOR_STATUS(cudaErrorInsufficientDriver,
                            "CUDA driver version is insufficient for CUDA runtime version");
    TINYGPT_EMULATOR_STATUS(cudaErrorNoDevice, "no CUDA-capable device is detected");
    TINYGPT_EMULATOR_STATUS(cudaErrorInvalidDevice, "invalid device ordinal");
    TINYGPT_EMULATOR_STATUS(cudaErrorNoKernelImageForDevice,
                            "no kernel image is available for execution on the device");
    TINYGPT_EMULATOR_STATUS(cudaErrorInvalidResourceHandle, "invalid resource handle");
    TINYGPT_EMULATOR_STATUS(cudaErrorNotReady, "device not ready");
    TINYGPT_EMULATOR_STATUS(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing");
    TINYGPT_EMULATOR_STATUS(cudaErrorStreamCaptureInvalidated,
                            "operation failed due to a previous error during capture");
    TINYGPT_EMULATOR_STATUS(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work");
    TINYGPT_EMULATOR_STATUS(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream");
    TINYGPT_EMULATOR_STATUS(cudaErrorStreamCaptureImplicit,
                            "operation would make the legacy stream depend on a capturing blocking stream");
  }
#undef TINYGPT_EMULATOR_STATUS
  return {"cudaErrorUnknown", "unknown error"};
}
inline const char* cudaGetErrorName(cudaError_t status) { return cuda_error_texts(status).first; }
inline const char* cudaGetErrorString(cudaError_t status) { return cuda_error_texts(status).second; }

namespace emulator {

/// Of the emulated device.
struct Limits {
  std::size_t threads_per_block = 1024;
  std::size_t shared_per_block = 99 * 1024;
  std::size_t memory = std::size_t{4} << 30;
  int multiprocessors = 4;
};

inline cudaError_t& last_error() {
  thread_local cudaError_t status = cudaSuccess;
  return status;
}
inline cudaError_t report(cudaError_t status) {
  if (status != cudaSuccess) last_error() = status;
  return status;
}

}  // namespace emulator

// ---- Errors

inline cudaError_t cudaGetLastError() { return std::exchange(emulator::last_error(), cudaSuccess); }
inline cudaError_t cudaPeekAtLastError() { return emulator::last_error(); }

// ---- The device

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
  int regsPerBlock, regsPerMultiprocessor, warpSize, maxThreadsPerBlock, maxThreadsPerMultiProcessor,
      maxBlocksPerMultiProcessor, multiProcessorCount, major, minor, l2CacheSize, pciBusID;
};

inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : emulator::report(cudaErrorInvalidDevice);
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return emulator::report(cudaErrorInvalidDevice);
  const emulator::Limits limits;
  *p = {"an emulated GPU",
        limits.memory,
        48 * 1024,
        limits.shared_per_block,
        100 * 1024,
        65536,
        65536,
        32,
        1024,
        1536,
        16,
        limits.multiprocessors,
        8,
        6,
        1 << 20,
        0};
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard lock(emulator::host_mutex());
  *total = emulator::Limits{}.memory;
  *free = *total - emulator::Memory::device().used();
  return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(emulator::host_mutex());
  if (emulator::capturing()) return emulator::report(cudaErrorStreamCaptureUnsupported);
  emulator::synchronize_all();
  return cudaSuccess;
}

// ---- Memory

namespace emulator {

inline cudaError_t allocate(Memory& memory, std::size_t most, void** p, std::size_t bytes) {
  const std::lock_guard lock(host_mutex());
  *p = nullptr;
  if (capturing()) return report(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  if (bytes <= most - memory.used()) *p = memory.allocate(bytes);
  return *p != nullptr ? cudaSuccess : report(cudaErrorMemoryAllocation);
}
inline cudaError_t release(Memory& memory, void* p) {
  const std::lock_guard lock(host_mutex());
  if (p == nullptr) return cudaSuccess;
  if (capturing()) return report(cudaErrorStreamCaptureUnsupported);
  synchronize_all();
  return memory.release(p) ? cudaSuccess : report(cudaErrorInvalidValue);
}

}  // namespace emulator

template <class E> cudaError_t cudaMalloc(E** p, std::size_t bytes) {
  return emulator::allocate(emulator::Memory::device(), emulator::Limits{}.memory, reinterpret_cast<void**>(p), bytes);
}
inline cudaError_t cudaFree(void* p) { return emulator::release(emulator::Memory::device(), p); }

inline constexpr unsigned cudaHostAllocDefault = 0, cudaHostAllocPortable = 1, cudaHostAllocMapped = 2;
template <class E> cudaError_t cudaHostAlloc(E** p, std::size_t bytes, unsigned) {
  return emulator::allocate(emulator::Memory::host(), SIZE_MAX, reinterpret_cast<void**>(p), bytes);
}
template <class E> cudaError_t cudaMallocHost(E** p, std::size_t bytes) {
  return cudaHostAlloc(p, bytes, cudaHostAllocDefault);
}
inline cudaError_t cudaFreeHost(void* p) { return emulator::release(emulator::Memory::host(), p); }

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};

/// Memory that CUDA did not allocate is read, or written, before the call returns.
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                                   cudaStream_t stream = nullptr) {
  const std::lock_guard lock(emulator::host_mutex());
  const auto known = [](const void* p) {
    return emulator::Memory::device().holds(p) || emulator::Memory::host().holds(p);
  };
  const auto queue = emulator::queue_of(stream);
  const bool captured = queue->capture != nullptr;
  emulator::Work work = [=] { std::memcpy(to, from, bytes); };
  if (!known(from) && !captured) {
    const auto* begin = static_cast<const std::byte*>(from);
    work = [to, copy = std::make_shared<std::vector<std::byte>>(begin, begin + bytes)] {
      std::memcpy(to, copy->data(), copy->size());
    };
  }
  if (!emulator::submit(stream, std::move(work), emulator::Weight::light)) {
    return emulator::report(cudaErrorStreamCaptureImplicit);
  }
  if (!known(to) && !captured) queue->run_all();
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream = nullptr) {
  const bool taken = emulator::submit(stream, [=] { std::memset(to, value, bytes); });
  return taken ? cudaSuccess : emulator::report(cudaErrorStreamCaptureImplicit);
}
inline cudaError_t cudaMemset(void* to, int value, std::size_t bytes) { return cudaMemsetAsync(to, value, bytes); }

// ---- Streams

inline constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const std::lock_guard lock(emulator::host_mutex());
  *stream = new CUstream_st;
  (*stream)->queue->in_step = flags != cudaStreamNonBlocking;
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
inline cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(emulator::host_mutex());
  const auto queue = emulator::queue_of(stream);
  if (queue->capture != nullptr) {
    queue->capture->broken = true;
    return emulator::report(cudaErrorStreamCaptureUnsupported);
  }
  queue->run_all();
  return cudaSuccess;
}
inline cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const std::lock_guard lock(emulator::host_mutex());
  return emulator::queue_of(stream)->work.empty() ? cudaSuccess : cudaErrorNotReady;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(emulator::host_mutex());
  if (stream == nullptr) return emulator::report(cudaErrorInvalidResourceHandle);
  stream->queue->run_all();
  delete stream;
  return cudaSuccess;
}

// ---- Events

inline constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;

struct CUevent_st {
  std::shared_ptr<emulator::Queue> queue;      ///< null: not recorded yet
  std::shared_ptr<emulator::Capture> capture;  ///< recorded in this one
  std::int64_t number = 0;  ///< of the last work before it, in the queue or in its part of the capture
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
};
using cudaEvent_t = CUevent_st*;

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr) {
  const std::lock_guard lock(emulator::host_mutex());
  event->queue = emulator::queue_of(stream);
  event->capture = event->queue->capture;
  if (event->capture != nullptr) {
    event->number = event->queue->captured;
    return cudaSuccess;
  }
  event->time = std::make_shared<std::chrono::steady_clock::time_point>();
  if (!emulator::submit(
          stream, [time = event->time] { *time = std::chrono::steady_clock::now(); }, emulator::Weight::light)) {
    return emulator::report(cudaErrorStreamCaptureImplicit);
  }
  event->number = event->queue->given;
  return cudaSuccess;
}
inline cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(emulator::host_mutex());
  return event->queue == nullptr || event->queue->done >= event->number ? cudaSuccess : cudaErrorNotReady;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(emulator::host_mutex());
  if (event->capture != nullptr) return emulator::report(cudaErrorStreamCaptureUnsupported);
  if (event->queue != nullptr) event->queue->run_until(event->number);
  return cudaSuccess;
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const std::lock_guard lock(emulator::host_mutex());
  if (from->time == nullptr || to->time == nullptr) return emulator::report(cudaErrorInvalidResourceHandle);
  if (cudaEventQuery(from) != cudaSuccess || cudaEventQuery(to) != cudaSuccess) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(*to->time - *from->time).count();
  return cudaSuccess;
}
/// In a capture, a stream that waits for one that takes part takes part as well.
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned = 0) {
  const std::lock_guard lock(emulator::host_mutex());
  if (event->queue == nullptr) return cudaSuccess;
  const auto queue = emulator::queue_of(stream);
  if (event->capture == nullptr) {
    if (queue->capture != nullptr) {
      queue->capture->broken = true;
      return emulator::report(cudaErrorStreamCaptureIsolation);
    }
    const bool come = event->queue->done >= event->number;
    emulator::submit(
        stream, [before = event->queue, last = event->number] { before->run_until(last); },
        come ? emulator::Weight::light : emulator::Weight::heavy);
    return cudaSuccess;
  }
  if (queue->capture == nullptr) {
    queue->capture = event->capture;
    queue->captured = queue->joined = 0;
    queue->capture->members.push_back(queue);
  }
  if (queue->capture != event->capture) return emulator::report(cudaErrorStreamCaptureIsolation);
  event->queue->joined = std::max(event->queue->joined, event->number);
  if (queue != queue->capture->members.front()) ++queue->captured;  // now it must be joined for the other's sake
  return cudaSuccess;
}

// ---- Graphs

struct CUgraph_st {
  std::vector<emulator::Work> work;
};
struct CUgraphExec_st {
  std::vector<emulator::Work> work;
};
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;

enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone = 0,
  cudaStreamCaptureStatusActive = 1,
  cudaStreamCaptureStatusInvalidated = 2,
};

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard lock(emulator::host_mutex());
  const auto queue = emulator::queue_of(stream);
  if (stream == nullptr || queue->capture != nullptr) return emulator::report(cudaErrorStreamCaptureUnsupported);
  queue->capture = std::make_shared<emulator::Capture>();
  queue->capture->members = {queue};
  return cudaSuccess;
}
inline cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(emulator::host_mutex());
  const auto capture = emulator::queue_of(stream)->capture;
  *status = capture == nullptr ? cudaStreamCaptureStatusNone
            : capture->broken  ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(emulator::host_mutex());
  *graph = nullptr;
  const auto capture = emulator::queue_of(stream)->capture;
  if (capture == nullptr || emulator::queue_of(stream) != capture->members.front()) {
    return emulator::report(cudaErrorInvalidValue);
  }
  bool joined = true;
  for (std::size_t i = 0; i < capture->members.size(); ++i) {
    emulator::Queue& member = *capture->members[i];
    joined = joined && (i == 0 || member.joined >= member.captured);
    member.capture = nullptr;
  }
  if (capture->broken) return emulator::report(cudaErrorStreamCaptureInvalidated);
  if (!joined) return emulator::report(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->work)};
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long = 0) {
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const bool taken = emulator::submit(stream, [work = executable->work] {
    for (const emulator::Work& one : work) one();
  });
  return taken ? cudaSuccess : emulator::report(cudaErrorStreamCaptureImplicit);
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

// ---- Kernels

enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9,
};
inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
  const bool fits = attribute != cudaFuncAttributeMaxDynamicSharedMemorySize ||
                    (value >= 0 && static_cast<std::size_t>(value) <= emulator::Limits{}.shared_per_block);
  return fits ? cudaSuccess : emulator::report(cudaErrorInvalidValue);
}

/// The emulated device has the code of every kernel.
struct cudaFuncAttributes {
  int binaryVersion, ptxVersion;
};
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {86, 86};
  return cudaSuccess;
}

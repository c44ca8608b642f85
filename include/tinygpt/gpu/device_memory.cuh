// Memory of a GPU, and the host's memory that a GPU copies from by itself: pieces that free themselves.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <tinygpt/gpu/check.cuh>

namespace tinygpt::gpu {

namespace detail {

/// Freeing has nobody to tell of a fault, and the context that finds it says so at its next call.
struct FreeDevice {
  void operator()(std::byte* p) const { cudaFree(p); }
};
struct FreePinned {
  void operator()(std::byte* p) const { cudaFreeHost(p); }
};

inline std::string mebibytes(std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace detail

/// A piece of the current device's memory, which begins at a multiple of 256. What is in it is not said.
class DeviceMemory {
 public:
  DeviceMemory() = default;

  /// Waits for the GPU. Throws an Error that says how much there is, where there is not enough.
  explicit DeviceMemory(std::int64_t bytes) : size_(bytes) {
    std::byte* p = nullptr;
    const cudaError_t status = cudaMalloc(&p, static_cast<std::size_t>(bytes));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // the fault is told here, not by the next launch
      std::size_t free = 0, total = 0;
      check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
      throw Error("the GPU has " + detail::mebibytes(free) + " free of " + detail::mebibytes(total) + ", and " +
                  detail::mebibytes(static_cast<std::size_t>(bytes)) +
                  " are wanted: use a smaller batch or a smaller model, or end what else runs on the GPU");
    }
    check(status, "cudaMalloc");
    data_.reset(p);
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte, detail::FreeDevice> data_;
  std::int64_t size_ = 0;
};

/// Memory of the host that stays where it is, so that copies to the GPU go on while the host does other things.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::int64_t bytes) : size_(bytes) {
    std::byte* p = nullptr;
    check(cudaHostAlloc(&p, static_cast<std::size_t>(bytes), cudaHostAllocDefault), "cudaHostAlloc");
    data_.reset(p);
  }

  std::byte* data() { return data_.get(); }
  std::int64_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte, detail::FreePinned> data_;
  std::int64_t size_ = 0;
};

/// Operations in order, beside those of other streams.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }

  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A mark in a stream.
class Event {
 public:
  explicit Event(unsigned flags = cudaEventDefault) {
    check(cudaEventCreateWithFlags(&event_, flags), "cudaEventCreate");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  /// The host waits until the stream has come to the mark; not at all where it was never recorded.
  void wait() { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
  /// What the stream is given from now on waits for the mark, and the host does not.
  void hold_back(cudaStream_t stream) { check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
  /// Milliseconds from `earlier` to this one, both reached.
  float since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "cudaEventElapsedTime");
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Is the stream recording what it is given instead of doing it?
inline bool capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace tinygpt::gpu

// The host's side: memory, streams that are late, events, graphs, and the sentence for a call that failed.
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <tinygpt/gpu/check.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

#include "catch.hpp"

using namespace tinygpt;
using namespace tinygpt::gpu;
using Catch::Matchers::Contains;

namespace {

/// Device memory for a test; what the host puts in and takes out goes by copies.
class DeviceFloats {
 public:
  explicit DeviceFloats(std::size_t n) : n_(n) { check(cudaMalloc(&data_, n * sizeof(float)), "cudaMalloc"); }
  DeviceFloats(const DeviceFloats&) = delete;
  DeviceFloats& operator=(const DeviceFloats&) = delete;
  ~DeviceFloats() { cudaFree(data_); }

  float* data() const { return data_; }

  std::vector<float> read() const {
    std::vector<float> host(n_);
    check(cudaMemcpy(host.data(), data_, n_ * sizeof(float), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return host;
  }

 private:
  float* data_ = nullptr;
  std::size_t n_;
};

class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamDefault) {
    check(cudaStreamCreateWithFlags(&stream_, flags), "cudaStreamCreateWithFlags");
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }
  void synchronize() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

__global__ void fill(float* x, float value) { x[threadIdx.x] = value; }
__global__ void times_plus(float* y, const float* x, float factor, float term) {
  y[threadIdx.x] = factor * x[threadIdx.x] + term;
}

__global__ void waits_for_nobody() {
  if (threadIdx.x == 0) __syncthreads();
}

TEST_CASE("device memory is not a number until it is written, and is given back") {
  std::size_t free_before = 0, total = 0, free_within = 0, free_after = 0;
  cudaMemGetInfo(&free_before, &total);
  {
    const DeviceFloats x(8);
    cudaMemGetInfo(&free_within, &total);
    for (const float value : x.read()) CHECK(std::isnan(value));
    launch<fill>(Grid{1, 8}, x.data(), 3.0f);
    CHECK(x.read() == std::vector<float>(8, 3.0f));
    check(cudaMemset(x.data(), 0, 4 * sizeof(float)), "cudaMemset");
    CHECK(x.read() == std::vector<float>{0, 0, 0, 0, 3, 3, 3, 3});
  }
  cudaMemGetInfo(&free_after, &total);
  CHECK(free_before - free_within == 8 * sizeof(float));
  CHECK(free_after == free_before);
}

TEST_CASE("a call that fails is one sentence with the call, its place, the meaning and what to do") {
  float* p = nullptr;
  CHECK_THROWS_WITH(check(cudaMalloc(&p, std::size_t{1} << 50), "cudaMalloc of the arena"),
                    Contains("CUDA failed in cudaMalloc of the arena at ") && Contains("host_test.cpp:") &&
                        Contains("out of memory (cudaErrorMemoryAllocation): use a smaller batch or a smaller model"));
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  float here = 0;
  CHECK_THROWS_AS(check(cudaFree(&here), "cudaFree"), Error);
  CHECK_THROWS_AS(check(cudaSetDevice(1), "cudaSetDevice"), Error);
  CHECK_NOTHROW(check(cudaFree(nullptr), "cudaFree"));
}

TEST_CASE("a lazy stream does its work when somebody waits, in order") {
  const emulator::WithStreams with(emulator::Streams::lazy);
  float* pinned = nullptr;
  check(cudaMallocHost(&pinned, 4 * sizeof(float)), "cudaMallocHost");
  {
    const Stream stream;
    const DeviceFloats x(4);
    launch<fill>(Grid{1, 4, 0, stream}, x.data(), 2.0f);
    launch<times_plus>(Grid{1, 4, 0, stream}, x.data(), x.data(), 3.0f, 1.0f);
    check(cudaMemcpyAsync(pinned, x.data(), 4 * sizeof(float), cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
    CHECK(std::isnan(pinned[0]));
    CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
    stream.synchronize();
    CHECK(pinned[0] == 7);
    CHECK(cudaStreamQuery(stream) == cudaSuccess);

    // Memory that CUDA did not allocate is copied while the call runs, the work before it included.
    launch<fill>(Grid{1, 4, 0, stream}, x.data(), 5.0f);
    float pageable[4] = {};
    check(cudaMemcpyAsync(pageable, x.data(), sizeof pageable, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
    CHECK(pageable[3] == 5);
    pageable[3] = 6;
    check(cudaMemcpyAsync(x.data(), pageable, sizeof pageable, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
    pageable[3] = 8;
    CHECK(x.read()[3] == 6);

    // What the host changes before pinned memory is read arrives changed.
    pinned[0] = 1;
    check(cudaMemcpyAsync(x.data(), pinned, sizeof(float), cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
    pinned[0] = 2;
    stream.synchronize();
    CHECK(x.read()[0] == 2);
  }
  check(cudaFreeHost(pinned), "cudaFreeHost");
}

TEST_CASE("a copy of an uneven stream overtakes a kernel of another one that does not hold it back") {
  const emulator::WithStreams with(emulator::Streams::uneven);
  float* pinned = nullptr;
  check(cudaMallocHost(&pinned, sizeof(float)), "cudaMallocHost");
  *pinned = 5;
  for (const bool held_back : {false, true}) {
    const Stream kernels(cudaStreamNonBlocking), copies(cudaStreamNonBlocking);
    const DeviceFloats x(1), y(1);
    const Event done;
    launch<fill>(Grid{1, 1, 0, kernels}, x.data(), 2.0f);
    launch<times_plus>(Grid{1, 1, 0, kernels}, y.data(), x.data(), 1.0f, 0.0f);
    check(cudaEventRecord(done, kernels), "cudaEventRecord");
    if (held_back) check(cudaStreamWaitEvent(copies, done), "cudaStreamWaitEvent");
    check(cudaMemcpyAsync(x.data(), pinned, sizeof(float), cudaMemcpyHostToDevice, copies), "cudaMemcpyAsync");
    kernels.synchronize();
    copies.synchronize();
    CHECK(x.read()[0] == (held_back ? 5 : 2));
    CHECK(y.read()[0] == 2);
  }
  check(cudaFreeHost(pinned), "cudaFreeHost");
}

TEST_CASE("the default stream waits for the others, but not for those that were made not to be waited for") {
  const emulator::WithStreams with(emulator::Streams::lazy);
  const DeviceFloats x(4), y(4);
  const Stream in_step, free(cudaStreamNonBlocking);
  launch<fill>(Grid{1, 4, 0, in_step}, x.data(), 1.0f);
  launch<fill>(Grid{1, 4, 0, free}, y.data(), 1.0f);
  CHECK(x.read()[0] == 1);
  CHECK(std::isnan(y.read()[0]));
  free.synchronize();
  CHECK(y.read()[0] == 1);
}

TEST_CASE("an event orders two streams; without it the late one is late") {
  const emulator::WithStreams with(emulator::Streams::lazy);
  const Stream first(cudaStreamNonBlocking), second(cudaStreamNonBlocking);
  const DeviceFloats x(4), y(4);
  const Event done;

  launch<fill>(Grid{1, 4, 0, first}, x.data(), 2.0f);
  launch<times_plus>(Grid{1, 4, 0, second}, y.data(), x.data(), 1.0f, 0.0f);
  second.synchronize();
  first.synchronize();
  CHECK(std::isnan(y.read()[0]));

  launch<fill>(Grid{1, 4, 0, first}, x.data(), 3.0f);
  check(cudaEventRecord(done, first), "cudaEventRecord");
  launch<fill>(Grid{1, 4, 0, first}, x.data(), 4.0f);
  check(cudaStreamWaitEvent(second, done), "cudaStreamWaitEvent");
  launch<times_plus>(Grid{1, 4, 0, second}, y.data(), x.data(), 1.0f, 0.0f);
  CHECK(cudaEventQuery(done) == cudaErrorNotReady);
  second.synchronize();
  CHECK(cudaEventQuery(done) == cudaSuccess);
  CHECK(cudaStreamQuery(first) == cudaErrorNotReady);  // what came after the event was not waited for
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(y.read()[0] == 3);
  CHECK(x.read()[0] == 4);

  const Event later;
  check(cudaEventRecord(later, first), "cudaEventRecord");
  check(cudaEventSynchronize(later), "cudaEventSynchronize");
  float milliseconds = -1;
  check(cudaEventElapsedTime(&milliseconds, done, later), "cudaEventElapsedTime");
  CHECK(milliseconds >= 0);
}

TEST_CASE("what a kernel of a lazy stream throws comes out where it is waited for") {
  const emulator::WithStreams with(emulator::Streams::lazy);
  const Stream stream;
  const DeviceFloats x(4);
  launch<fill>(Grid{1, 4, 0, stream}, x.data(), 1.0f);
  launch<waits_for_nobody>(Grid{1, 4, 0, stream});
  CHECK_THROWS_AS(stream.synchronize(), emulator::Failure);
  CHECK_NOTHROW(stream.synchronize());
}

/// A captured graph, ready to be launched.
class Graph {
 public:
  template <class Work> Graph(cudaStream_t stream, Work work) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    work();
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&executable_, graph), "cudaGraphInstantiate");
    check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { cudaGraphExecDestroy(executable_); }

  void run(cudaStream_t stream) const { check(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch"); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

TEST_CASE("a graph does nothing when it is captured, and all of it each time it is launched") {
  for (const auto streams : {emulator::Streams::eager, emulator::Streams::lazy}) {
    const emulator::WithStreams with(streams);
    const Stream stream;
    const DeviceFloats x(4), y(4);
    launch<fill>(Grid{1, 4, 0, stream}, x.data(), 1.0f);
    float term = 1;
    const Graph step(stream, [&] {
      launch<times_plus>(Grid{1, 4, 0, stream}, x.data(), x.data(), 2.0f, term);
      check(cudaMemcpyAsync(y.data(), x.data(), 2 * sizeof(float), cudaMemcpyDeviceToDevice, stream),
            "cudaMemcpyAsync");
      check(cudaMemsetAsync(y.data() + 2, 0, sizeof(float), stream), "cudaMemsetAsync");
    });
    term = 100;  // arguments are those of the capture
    CHECK(x.read()[0] == 1);
    CHECK(std::isnan(y.read()[0]));
    step.run(stream);
    step.run(stream);
    step.run(stream);
    stream.synchronize();
    CHECK(x.read() == std::vector<float>(4, 15.0f));
    const auto copied = y.read();
    CHECK((copied[0] == 15 && copied[1] == 15 && copied[2] == 0 && std::isnan(copied[3])));
  }
}

TEST_CASE("a capture takes in the streams that wait for its events, and they must be joined again") {
  const Stream first, second;
  const DeviceFloats x(4), y(4), z(4);
  const Event fork, join;
  launch<fill>(Grid{1, 4, 0, first}, x.data(), 1.0f);
  const auto work = [&](bool joined) {
    launch<times_plus>(Grid{1, 4, 0, first}, x.data(), x.data(), 2.0f, 0.0f);
    check(cudaEventRecord(fork, first), "cudaEventRecord");
    check(cudaStreamWaitEvent(second, fork), "cudaStreamWaitEvent");
    launch<times_plus>(Grid{1, 4, 0, second}, y.data(), x.data(), 1.0f, 10.0f);
    if (!joined) return;
    check(cudaEventRecord(join, second), "cudaEventRecord");
    check(cudaStreamWaitEvent(first, join), "cudaStreamWaitEvent");
    launch<times_plus>(Grid{1, 4, 0, first}, z.data(), y.data(), 1.0f, 100.0f);
  };
  {
    const Graph graph(first, [&] { work(true); });
    graph.run(first);
    graph.run(first);
    first.synchronize();
    CHECK(z.read()[0] == 114);
  }
  CHECK_THROWS_WITH(Graph(first, [&] { work(false); }), Contains("cudaErrorStreamCaptureUnjoined"));
  launch<fill>(Grid{1, 4, 0, second}, x.data(), 5.0f);  // neither stream is captured any more
  CHECK(x.read()[0] == 5);
}

TEST_CASE("what a capture cannot hold is refused while it goes on") {
  const Stream stream, other;
  const DeviceFloats x(4);
  float* p = nullptr;
  const Event outside;
  check(cudaEventRecord(outside, other), "cudaEventRecord");
  CHECK_THROWS_WITH(Graph(stream, [&] { CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported); }),
                    Contains("cudaErrorStreamCaptureInvalidated"));
  CHECK_THROWS_WITH(
      Graph(stream, [&] { CHECK(cudaStreamWaitEvent(stream, outside) == cudaErrorStreamCaptureIsolation); }),
      Contains("cudaErrorStreamCaptureInvalidated"));
  const Graph allowed(stream, [&] {
    CHECK(cudaMalloc(&p, 4) == cudaErrorStreamCaptureUnsupported);
    CHECK(cudaDeviceSynchronize() == cudaErrorStreamCaptureUnsupported);
    CHECK_THROWS_WITH(launch<fill>(Grid{1, 4}, x.data(), 1.0f), Contains("cudaErrorStreamCaptureImplicit"));
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusActive);
  });
  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaErrorStreamCaptureUnsupported);
}

TEST_CASE("the device says what it is") {
  int count = 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  CHECK(count == 1);
  CHECK(properties.major * 10 + properties.minor == 86);
  CHECK(properties.warpSize == 32);
  CHECK(std::string(properties.name) == "an emulated GPU");
}

}  // namespace

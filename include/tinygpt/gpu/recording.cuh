// Operations recorded once and repeated as one: a CUDA graph.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <type_traits>

#include <tinygpt/gpu/check.cuh>

namespace tinygpt::gpu {

/// What is kept of operations that are to be repeated. The first time they are called as they are, so that plans for
/// matrix products are found and memory is where it will stay; the second time they are captured; from then on one call
/// starts them all.
class Recording {
 public:
  /// Calls operations(), or starts what they did on `stream` when it was recorded. `memory` counts the changes of the
  /// memory that operations find for themselves: a recording with older addresses is made anew.
  template <class Operations> void replay(cudaStream_t stream, int memory, Operations&& operations) {
    if (!called_ || memory != memory_) {
      graph_.reset();
      called_ = true, memory_ = memory;
      operations();
      return;
    }
    if (graph_ == nullptr) graph_ = recorded(stream, operations);
    check(cudaGraphLaunch(graph_.get(), stream), "cudaGraphLaunch");
  }

 private:
  struct Destroy {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
  };
  using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, Destroy>;
  using Executable = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy>;

  template <class Operations> static Executable recorded(cudaStream_t stream, Operations& operations) {
    constexpr auto what = "recording operations to repeat them (does one of them allocate, copy to the host or wait?)";
    // Only this thread: another one may allocate for its own GPU.
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    cudaGraph_t captured = nullptr;
    try {
      operations();
    } catch (...) {
      // The stream must come out of it, or it would be of no use to who catches this.
      cudaStreamEndCapture(stream, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      cudaGetLastError();
      throw;
    }
    const cudaError_t ended = cudaStreamEndCapture(stream, &captured);
    const Graph graph(captured);
    check(ended, what);
    cudaGraphExec_t executable = nullptr;
    check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
    return Executable(executable);
  }

  Executable graph_;
  bool called_ = false;
  int memory_ = 0;
};

}  // namespace tinygpt::gpu

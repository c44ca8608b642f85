// Time on a GPU and on the host's clock, and results as lines of JSON.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/gpu/device_memory.cuh>

namespace tinygpt::bench {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Seconds of an operation in a stream: the median of `times`, between two events each, after some to warm up.
template <class Operation>
double seconds_on(cudaStream_t stream, int times, Operation&& operation) {
  for (int i = 0; i < 3; ++i) operation();
  std::vector<double> seconds;
  for (int i = 0; i < times; ++i) {
    gpu::Event begin, end;
    begin.record(stream);
    operation();
    end.record(stream);
    end.wait();
    seconds.push_back(1e-3 * end.since(begin));
  }
  return median(std::move(seconds));
}

/// Seconds of an operation that ends by waiting for the GPU.
template <class Operation>
double seconds_of(Operation&& operation) {
  const auto begin = std::chrono::steady_clock::now();
  operation();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// One result: {"side":"tinygpt","what":...,"name":...,"value":...}
class Result {
 public:
  Result(const std::string& what, const std::string& name) {
    text_ = "{\"side\":\"tinygpt\",\"what\":\"" + what + "\",\"name\":\"" + name + "\"";
  }
  Result& add(const std::string& key, double value) {
    char number[40];
    std::snprintf(number, sizeof number, "%.9g", value);
    text_ += ",\"" + key + "\":" + number;
    return *this;
  }
  Result& add(const std::string& key, const std::string& value) {
    text_ += ",\"" + key + "\":\"" + value + "\"";
    return *this;
  }
  void print() const {
    std::printf("%s}\n", text_.c_str());
    std::fflush(stdout);
  }

 private:
  std::string text_;
};

}  // namespace tinygpt::bench

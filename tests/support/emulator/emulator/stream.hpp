// Streams, events and graphs: work in the order in which it was given, at once or as late as CUDA allows.
//
// Lazy streams keep their work until somebody waits for it. A program that reads a result before it has synchronised
// then reads what was there before, always. Uneven streams do the same, but for copies that have nothing before them in
// their stream, which are done at once: a copy on a stream of its own overtakes whatever does not hold it back.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <emulator/memory.hpp>

namespace emulator {

using Work = std::function<void()>;

/// When the work of a stream is done: while it is being given, or when somebody waits for it.
enum class Streams { eager, lazy, uneven };

/// What an uneven stream does as early as it may: copies, and the marks and waits between them.
enum class Weight { heavy, light };

/// TINYGPT_EMULATOR_STREAMS: eager, lazy or uneven.
inline Streams streams_of_environment() {
  const char* text = std::getenv("TINYGPT_EMULATOR_STREAMS");
  if (text == nullptr || std::string_view(text) == "eager") return Streams::eager;
  if (std::string_view(text) == "lazy") return Streams::lazy;
  if (std::string_view(text) == "uneven") return Streams::uneven;
  throw std::invalid_argument("TINYGPT_EMULATOR_STREAMS is '" + std::string(text) + "': write eager, lazy or uneven");
}

inline Streams& streams() {
  static Streams value = streams_of_environment();
  return value;
}

/// While it lives, streams are eager, lazy or uneven as told. What a lazy stream holds at the end stays there.
class WithStreams {
 public:
  explicit WithStreams(Streams wanted) : before_(std::exchange(streams(), wanted)) {}
  WithStreams(const WithStreams&) = delete;
  WithStreams& operator=(const WithStreams&) = delete;
  ~WithStreams() { streams() = before_; }

 private:
  Streams before_;
};

/// Guards all of the host's interface: system threads take turns.
inline std::recursive_mutex& host_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

struct Queue;

/// What the streams of a capture were given, in an order in which it can run, and who they are; the first one began it.
struct Capture {
  std::vector<Work> work;
  std::vector<std::shared_ptr<Queue>> members;
  bool broken = false;  ///< something was asked for that a capture cannot hold
};

/// What a stream was given.
struct Queue {
  bool in_step = true;  ///< with the default stream; false for streams made as cudaStreamNonBlocking
  std::deque<Work> work;
  std::int64_t given = 0, done = 0;
  std::shared_ptr<Capture> capture;
  std::int64_t captured = 0, joined = 0;  ///< works given in this capture; those that the first member waits for

  /// Does the work up to number `last`. Work that throws is done.
  void run_until(std::int64_t last) {
    while (done < last) {
      const Work next = std::move(work.front());
      work.pop_front();
      ++done;
      const Memory::DeviceWork device;
      next();
    }
  }
  void run_all() { run_until(given); }
};

/// All streams that live, the default stream too.
inline std::set<Queue*>& all_queues() {
  static auto* queues = new std::set<Queue*>;  // outlives every stream
  return *queues;
}

inline std::shared_ptr<Queue> make_queue() {
  std::shared_ptr<Queue> queue(new Queue, [](Queue* q) {
    all_queues().erase(q);
    delete q;
  });
  all_queues().insert(queue.get());
  return queue;
}

inline void synchronize_all() {
  for (Queue* queue : std::set<Queue*>(all_queues())) queue->run_all();
}

/// Is a capture under way, on any stream? Then nothing may be allocated, and nothing may synchronise.
inline bool capturing() {
  for (const Queue* queue : all_queues()) {
    if (queue->capture != nullptr) return true;
  }
  return false;
}

}  // namespace emulator

struct CUstream_st {
  std::shared_ptr<emulator::Queue> queue = emulator::make_queue();
};
using cudaStream_t = CUstream_st*;

namespace emulator {

inline std::shared_ptr<Queue> queue_of(cudaStream_t stream) {
  static CUstream_st standard;
  return stream == nullptr ? standard.queue : stream->queue;
}

/// Gives the stream work; false where a capture forbids it. The work of the default stream waits for all streams that
/// are in step with it, and is then done at once, so that they need not wait for it.
inline bool submit(cudaStream_t stream, Work work, Weight weight = Weight::heavy) {
  const std::lock_guard lock(host_mutex());
  const auto queue = queue_of(stream);
  if (queue->capture != nullptr) {
    queue->capture->work.push_back(std::move(work));
    ++queue->captured;
    return true;
  }
  if (stream == nullptr) {
    if (capturing()) return false;
    for (Queue* other : std::set<Queue*>(all_queues())) {
      if (other->in_step) other->run_all();
    }
  }
  queue->work.push_back(std::move(work));
  ++queue->given;
  const bool overtakes = streams() == Streams::uneven && weight == Weight::light && queue->work.size() == 1;
  if (stream == nullptr || streams() == Streams::eager || overtakes) queue->run_all();
  return true;
}

}  // namespace emulator

// Work that many threads share, with the results in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace tinygpt::prepare {

/// Calls next() for items until it gives none, on each of them a worker, and sink(result) in the order of the items.
///
///   next          -> std::optional<Item>; one call at a time
///   make_worker   -> worker(Item&&) -> Result; one worker per thread, made on it
///   sink(Result&&)   one call at a time
///
/// Each thread holds one item or result at a time, so memory is bounded. The first exception in the order of the items
/// ends all and is thrown here; what came before it has reached the sink.
template <class Next, class MakeWorker, class Sink>
void in_order(int threads, Next&& next, MakeWorker&& make_worker, Sink&& sink) {
  std::mutex taking, giving;
  std::condition_variable turn_changed;
  std::int64_t taken = 0, turn = 0;
  bool ended = false;
  std::exception_ptr failure;

  const auto run = [&] {
    std::optional<decltype(make_worker())> worker;
    for (;;) {
      std::exception_ptr fault;
      decltype(next()) item;
      std::int64_t number;
      {
        const std::lock_guard lock(taking);
        if (ended) return;
        number = taken;
        try {
          item = next();
        } catch (...) {
          fault = std::current_exception();
        }
        if (!item) ended = true;
        if (!item && !fault) return;
        ++taken;
      }
      std::optional<decltype((*worker)(std::move(*item)))> result;
      if (!fault) {
        try {
          if (!worker) worker.emplace(make_worker());
          result.emplace((*worker)(std::move(*item)));
        } catch (...) {
          fault = std::current_exception();
        }
      }
      {
        std::unique_lock lock(giving);
        turn_changed.wait(lock, [&] { return turn == number; });
        if (!failure) {
          try {
            if (fault) std::rethrow_exception(fault);
            sink(std::move(*result));
          } catch (...) {
            failure = std::current_exception();
          }
        }
        ++turn;
        turn_changed.notify_all();
        if (!failure) continue;
      }
      const std::lock_guard lock(taking);
      ended = true;
      return;
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace tinygpt::prepare

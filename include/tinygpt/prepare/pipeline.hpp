// Work that many threads share, with the results in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace tinygpt::prepare {

/// Of items that are all small.
struct NeverAlone {
  template <class Item> bool operator()(const Item&) const { return false; }
};

/// Calls next() for items until it gives none, on each of them a worker, and sink(result) in the order of the items.
///
///   next          -> std::optional<Item>; one call at a time
///   make_worker   -> worker(Item&&) -> Result; one worker per thread, made on it
///   sink(Result&&)   one call at a time
///   alone(item)   -> bool: until its result has reached the sink, no other item is taken
///
/// Each thread holds one item or result at a time, and a large one holds the others back, so memory is bounded. Where
/// the system gives fewer threads than asked, there are fewer. The first exception in the order of the items
/// ends all and is thrown here; what came before it has reached the sink.
template <class Next, class MakeWorker, class Sink, class Alone = NeverAlone>
void in_order(int threads, Next&& next, MakeWorker&& make_worker, Sink&& sink, const Alone& alone = {}) {
  std::mutex taking, giving;
  std::condition_variable turn_changed;
  std::int64_t taken = 0, turn = 0;
  bool ended = false;
  std::exception_ptr failure;

  const auto run = [&] {
    std::optional<decltype(make_worker())> worker;
    for (;;) {
      std::unique_lock mine(taking);  // given back after the item and its result
      if (ended) return;
      std::exception_ptr fault;
      decltype(next()) item;
      const std::int64_t number = taken;
      try {
        item = next();
      } catch (...) {
        fault = std::current_exception();
      }
      if (!item) ended = true;
      if (!item && !fault) return;
      ++taken;
      if (!item || !alone(*item)) mine.unlock();
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
      if (!mine.owns_lock()) mine.lock();
      ended = true;
      return;
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (int i = 1; i < threads; ++i) others.emplace_back(run);
    } catch (const std::system_error&) {
    }
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace tinygpt::prepare

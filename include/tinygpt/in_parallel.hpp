// Independent pieces of work on several threads, where no backend is: reading large files, drawing first weights.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace tinygpt {

/// What happens to work that has not begun when a piece of it has thrown.
enum class AfterFault { stop, go_on };

/// Calls f(i) for each i of `order`, which has 0 to n - 1 in some order, on up to `threads` threads, of which the
/// caller's is one; on fewer where the system has no more. Of several faults that of the lowest i is thrown, whatever
/// the threads: with `stop`, where the order is ascending.
template <class F>
void in_parallel(const std::vector<std::size_t>& order, std::size_t threads, AfterFault after, F&& f) {
  const std::size_t n = order.size();
  std::vector<std::exception_ptr> faults(n);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t k; (k = next.fetch_add(1)) < n;) {
      try {
        f(order[k]);
      } catch (...) {
        faults[order[k]] = std::current_exception();
        if (after == AfterFault::stop) next = n;
      }
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      while (others.size() + 1 < threads && others.size() + 1 < n) others.emplace_back(work);
    } catch (const std::system_error&) {
    }
    work();
  }
  for (const auto& fault : faults) {
    if (fault) std::rethrow_exception(fault);
  }
}

}  // namespace tinygpt

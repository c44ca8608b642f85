// A system that gives fewer threads than asked for: less parallel, the same results, no end of the program.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include <catch.hpp>
#include <tinygpt/cpu/threads.hpp>
#include <tinygpt/data/word_counter.hpp>
#include <tinygpt/in_parallel.hpp>

namespace {

/// What body() returns in a process of its own that may have `most` threads; 255 where it was ended by a signal.
template <class Body> int with_threads(rlim_t most, Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr unsigned nobody = 65534;
    const rlimit none{0, 0}, few{most, most};
    ::setrlimit(RLIMIT_CORE, &none);
    ::setrlimit(RLIMIT_NPROC, &few);
    if (::geteuid() == 0 && ::setuid(nobody) != 0) ::_exit(100);  // root is not limited
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

constexpr int wanted = 64;

int in_pool() {
  tinygpt::cpu::ThreadPool pool(wanted);
  std::vector<std::atomic<int>> times(1000);
  for (int again = 0; again < 3; ++again) {
    pool.parallel_for(1000, [&](int task, int) { ++times[static_cast<std::size_t>(task)]; });
  }
  for (const auto& n : times) {
    if (n != 3) return 1;
  }
  return pool.size() >= wanted ? 2 : 0;
}

int in_counter() {
  tinygpt::WordCounter counter(tinygpt::Pattern::gpt2, wanted);
  for (int i = 0; i < 1000; ++i) counter.add(" one two");
  return counter.finish().size() == 2 ? 0 : 1;
}

int in_parallel_pieces() {
  std::vector<std::size_t> order(1000);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::atomic<int> times{0};
  tinygpt::in_parallel(order, wanted, tinygpt::AfterFault::stop, [&](std::size_t) { ++times; });
  return times == 1000 ? 0 : 1;
}

}  // namespace

TEST_CASE("Fewer threads than asked for do all the work") {
  // 1: no other thread at all. More: some are given, and then no more.
  for (const rlim_t most : {1, 3, 5}) {
    INFO(most << " threads allowed");
    CHECK(with_threads(most, in_pool) == 0);
    CHECK(with_threads(most, in_counter) == 0);
    CHECK(with_threads(most, in_parallel_pieces) == 0);
  }
}

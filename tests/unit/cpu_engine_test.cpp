// The cpu backend's vectors, functions on them, dropout masks and threads.
#include <catch.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include <tinygpt/cpu/context.hpp>
#include <tinygpt/cpu/math.hpp>
#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/cpu/vec.hpp>
#include <tinygpt/processors.hpp>

namespace {

using namespace tinygpt::cpu;
using tinygpt::Dropout;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Calls f(x) for a sample of all finite floats: every sign, every exponent, thousands of mantissas in each.
template <class F> void for_sampled_floats(F&& f) {
  for (std::uint64_t word = 0; word <= 0xFFFFFFFFu; word += 1009) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(word));
    if (std::isfinite(x)) f(x);
  }
}

float first(Floats x) { return x[0]; }

TEST_CASE("Lanes keep their order through load, store and transpose") {
  float in[vector_width * vector_width], out[vector_width * vector_width];
  for (int e = 0; e < vector_width * vector_width; ++e) in[e] = static_cast<float>(e);
  Floats rows[vector_width];
  for (int i = 0; i < vector_width; ++i) rows[i] = load(in + i * vector_width);
  transpose(rows);
  for (int i = 0; i < vector_width; ++i) store(out + i * vector_width, rows[i]);
  for (int i = 0; i < vector_width; ++i) {
    for (int j = 0; j < vector_width; ++j) REQUIRE(out[i * vector_width + j] == in[j * vector_width + i]);
  }
  for (int i = 0; i < vector_width; ++i) CHECK(iota()[i] == i);
  CHECK(max(load(in)) == vector_width - 1);
  CHECK(sum(load_first(in, 3)) == 3.0f);
  CHECK(first(abs(broadcast(-3.0f))) == 3.0f);
}

TEST_CASE("exp is within 2 units in the last place everywhere, and right at the limits") {
  double worst = 0;
  for_sampled_floats([&](float x) {
    const double truth = std::exp(double{x});
    if (truth >= double{std::numeric_limits<float>::max()}) {
      if (first(exp(broadcast(x))) < std::numeric_limits<float>::max()) worst = infinity;
      return;
    }
    int exponent;
    std::frexp(truth, &exponent);
    const double unit = std::ldexp(1.0, std::max(exponent - 24, -149));
    worst = std::max(worst, std::abs(double{first(exp(broadcast(x)))} - truth) / unit);
  });
  CHECK(worst <= 2.0);
  CHECK(first(exp(broadcast(-infinity))) == 0.0f);
  CHECK(first(exp(broadcast(infinity))) == infinity);
  CHECK(std::isnan(first(exp(broadcast(nan)))));
  CHECK(first(exp(broadcast(0.0f))) == 1.0f);
}

TEST_CASE("The exponential for softmax is exp down to the normal numbers, exactly 0 below them") {
  double worst = 0;
  bool zero = true;
  for_sampled_floats([&](float x) {
    const float value = first(exp_weight(broadcast(x)));
    if (x < -87.0f) zero = zero && value == 0.0f;
    if (x < -87.0f || x > 1.0f) return;
    const double truth = std::exp(double{x});
    int exponent;
    std::frexp(truth, &exponent);
    worst = std::max(worst, std::abs(value - truth) / std::ldexp(1.0, exponent - 24));
  });
  CHECK(worst <= 2.0);
  CHECK(zero);
  CHECK(first(exp_weight(broadcast(-infinity))) == 0.0f);
  CHECK(first(exp_weight(broadcast(0.0f))) == 1.0f);
  CHECK(std::isnan(first(exp_weight(broadcast(nan)))));
}

TEST_CASE("the logistic function and the normal distribution keep their error bounds over all floats") {
  double sigmoid_worst = 0, sigmoid_relative = 0, normal_worst = 0, normal_relative = 0, bell_worst = 0;
  for_sampled_floats([&](float x) {
    const double s = 1.0 / (1.0 + std::exp(-double{x})), cdf = std::erfc(-double{x} / std::sqrt(2.0)) / 2;
    const double sigmoid_error = std::abs(first(sigmoid(broadcast(x))) - s);
    const Normal got = normal(broadcast(x));
    const double normal_error = std::abs(first(got.cdf) - cdf);
    sigmoid_worst = std::max(sigmoid_worst, sigmoid_error);
    normal_worst = std::max(normal_worst, normal_error);
    bell_worst = std::max(bell_worst, std::abs(first(got.bell) - std::exp(-0.5 * double{x} * double{x})));
    if (s > 1e-37) sigmoid_relative = std::max(sigmoid_relative, sigmoid_error / s);
    if (std::abs(x) < 4) normal_relative = std::max(normal_relative, normal_error / cdf);
  });
  CHECK(sigmoid_worst <= 2e-7);
  CHECK(sigmoid_relative <= 4e-7);
  CHECK(normal_worst <= 3e-7);
  CHECK(normal_relative <= 1e-6);
  CHECK(bell_worst <= 2e-7);
  for (const float x : {infinity, -infinity}) {
    CHECK(first(sigmoid(broadcast(x))) == (x > 0 ? 1.0f : 0.0f));
    CHECK(first(normal(broadcast(x)).cdf) == (x > 0 ? 1.0f : 0.0f));
    CHECK(first(normal(broadcast(x)).bell) == 0.0f);
  }
  CHECK(std::isnan(first(sigmoid(broadcast(nan)))));
  CHECK(std::isnan(first(normal(broadcast(nan)).cdf)));
}

TEST_CASE("The vectorised dropout mask is the scalar one, element by element") {
  for (const std::uint32_t threshold : {1u, 6554u, 32768u, 65535u}) {
    for (const std::int64_t width : {1, 7, 8, 63, 64, 65, 200}) {
      for (const std::int64_t row : {std::int64_t{0}, std::int64_t{5}, (std::int64_t{1} << 36) + 3}) {
        const Dropout dropout{threshold, 77, 0x123456789ABC, 0x9876543210};
        std::vector<float> x(static_cast<std::size_t>(width) + 1, 3.0f);
        along_mask(dropout, row, width,
                   [&](Lanes lanes, Floats mask) { lanes.store(x.data(), lanes.load(x.data()) * mask); });
        bool same = x.back() == 3.0f;
        for (std::int64_t c = 0; c < width; ++c) {
          const float factor = dropout.keeps(row, c, width) ? dropout.scale() : 0.0f;
          same = same && x[static_cast<std::size_t>(c)] == 3.0f * factor;
        }
        CHECK(same);
      }
    }
  }
}

TEST_CASE("Without dropout, a row is left as it is") {
  std::vector<float> x(20, 3.0f);
  along_mask(Dropout{}, 0, 20, [&](Lanes lanes, Floats mask) { lanes.store(x.data(), lanes.load(x.data()) * mask); });
  CHECK(x == std::vector<float>(20, 3.0f));
}

TEST_CASE("A parallel loop runs every task once, on threads that exist") {
  for (const int threads : {1, 2, 4}) {
    Context ctx{threads};
    REQUIRE(ctx.threads() == threads);
    for (const int tasks : {0, 1, 2, 3, 64, 1000}) {
      std::vector<int> count(static_cast<std::size_t>(tasks), 0);
      std::atomic<bool> thread_exists{true};
      ctx.parallel_for(tasks, [&](int task, int thread) {
        ++count[static_cast<std::size_t>(task)];
        if (thread < 0 || thread >= threads) thread_exists = false;
      });
      CHECK(count == std::vector<int>(static_cast<std::size_t>(tasks), 1));
      CHECK(thread_exists);
    }
  }
}

TEST_CASE("Thousands of short loops in a row, with and without sleep between them, lose no task") {
  Context ctx{3};
  std::int64_t total = 0;
  for (int loop = 0; loop < 5000; ++loop) {
    std::vector<std::int64_t> part(7, 0);
    ctx.parallel_for(7, [&](int task, int) { part[static_cast<std::size_t>(task)] = task + loop; });
    for (const std::int64_t p : part) total += p;
    if (loop % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds{2});
  }
  CHECK(total == 5000 * 21 + 7 * std::int64_t{5000} * 4999 / 2);
}

#if defined(__linux__)
TEST_CASE("A pool has a thread for each processor that may be used; workers stay on theirs, the caller goes free") {
  const std::vector<int> allowed = tinygpt::allowed_processors();
  REQUIRE(!allowed.empty());
  bool possible = false;
  int counted = 0, threads = 0;
  std::thread restricted([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(allowed.back(), &one);
    possible = sched_setaffinity(0, sizeof one, &one) == 0;
    counted = tinygpt::hardware_threads();
    threads = Workers().threads();
  });
  restricted.join();
  if (!possible) {
    WARN("this system lets nobody choose a processor, so that nothing can be seen of it");
    return;
  }
  CHECK(counted == 1);
  CHECK(threads == 1);

  Workers all;
  CHECK(all.threads() == static_cast<int>(allowed.size()));
  CHECK(tinygpt::allowed_processors() == allowed);  // the caller's own
  std::vector<std::vector<int>> seen(allowed.size());
  for (int loop = 0; loop < 50; ++loop) {
    all.parallel_for(64, [&](int, int thread) {
      seen[static_cast<std::size_t>(thread)].push_back(sched_getcpu());
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(5);
      while (std::chrono::steady_clock::now() < until) {
      }
    });
  }
  for (std::size_t thread = 1; thread < seen.size(); ++thread) {
    CHECK(std::count(seen[thread].begin(), seen[thread].end(), seen[thread].empty() ? 0 : seen[thread][0]) ==
          static_cast<std::ptrdiff_t>(seen[thread].size()));
  }
}
#endif

TEST_CASE("Scratch memory is aligned, each thread's own, and grows when asked") {
  Context ctx{2};
  for (int grow = 0; grow < 2; ++grow) {
    for (int thread = 0; thread < 2; ++thread) {
      CHECK(reinterpret_cast<std::uintptr_t>(ctx.scratch(thread)) % 64 == 0);
      std::fill_n(ctx.scratch(thread), ctx.scratch_size(), static_cast<float>(thread));
    }
    CHECK(ctx.scratch(0)[ctx.scratch_size() - 1] == 0.0f);
    CHECK(ctx.scratch(1)[0] == 1.0f);
    const std::int64_t wanted = ctx.scratch_size() + 100;
    ctx.reserve_scratch(wanted);
    CHECK(ctx.scratch_size() == wanted);
  }
}

}  // namespace

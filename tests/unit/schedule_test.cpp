// The learning rate over a run, beside the formulas of nanoGPT and of torch's CosineAnnealingLR.
#include <cmath>
#include <numbers>

#include <catch.hpp>
#include <tinygpt/train/schedule.hpp>

using namespace tinygpt;

TEST_CASE("with a warmup the rate rises to the peak, and falls to the floor at the last iteration") {
  const double peak = 3e-4, floor = 3e-5;
  for (const int warmup : {1, 7, 100}) {
    for (const int total : {101, 150, 1000}) {
      for (int i = 1; i <= total; ++i) {
        // nanoGPT's get_lr, whose iterations count from 0 and whose first rate is 0.
        const double done = static_cast<double>(i - warmup) / (total - warmup);
        const double expected =
            i <= warmup ? peak * i / warmup : floor + 0.5 * (1 + std::cos(std::numbers::pi * done)) * (peak - floor);
        CHECK(warmup_cosine(i, warmup, total, peak, floor) == Approx(expected).epsilon(1e-12));
      }
      CHECK(warmup_cosine(warmup, warmup, total, peak, floor) == peak);
      CHECK(warmup_cosine(total, warmup, total, peak, floor) == floor);
    }
  }
}

TEST_CASE("without a warmup the first iteration has the peak and the last the floor, as torch's CosineAnnealingLR") {
  const double peak = 1e-3, floor = 1e-4;
  CHECK(warmup_cosine(1, 0, 1, peak, floor) == peak);
  for (const int total : {2, 3, 10, 1000}) {
    CHECK(warmup_cosine(1, 0, total, peak, floor) == peak);
    CHECK(warmup_cosine(total, 0, total, peak, floor) == floor);
    for (int i = 1; i < total; ++i) {
      const double expected = floor + (peak - floor) * (1 + std::cos(std::numbers::pi * (i - 1) / (total - 1))) / 2;
      CHECK(warmup_cosine(i, 0, total, peak, floor) == Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("a warmup as long as the run or longer never passes the peak") {
  for (const int warmup : {5, 10, 1000}) {
    for (int i = 1; i <= 5; ++i)
      CHECK(warmup_cosine(i, warmup, 5, 1.0, 0.1) == Approx(static_cast<double>(i) / warmup));
  }
}

// Choosing a token where numbers are not finite, temperatures tiny, and sums exact.
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <catch.hpp>
#include <tinygpt/error.hpp>
#include <tinygpt/generate/sampler.hpp>
#include <tinygpt/layout/dtype.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

std::set<std::int32_t> drawn(const SampleOptions& options, const std::vector<float>& logits) {
  Sampler sample(options, static_cast<int>(logits.size()));
  std::set<std::int32_t> ids;
  for (std::uint64_t i = 0; i < 4000; ++i) ids.insert(sample(std::span<const float>(logits), i));
  return ids;
}

}  // namespace

TEMPLATE_TEST_CASE("a logit that is NaN or infinite is an error, wherever it is and however tokens are chosen", "",
                   float, bfloat16) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, -nan, infinity}) {
    for (const std::size_t at : {0u, 1u, 150u, 299u}) {
      std::vector<TestType> logits(300, TestType(0.5f));
      logits[at] = TestType(bad);
      for (const SampleOptions& options :
           {SampleOptions{.temperature = 0}, SampleOptions{.temperature = 1}, SampleOptions{.top_k = 5},
            SampleOptions{.top_p = 0.5}, SampleOptions{.temperature = 1e-40}}) {
        Sampler sample(options, 300);
        CHECK_THROWS_WITH(sample(std::span<const TestType>(logits), 0), Contains("not finite"));
      }
      // Ids that are never taken do not matter.
      Sampler few({.vocab = 100}, 300);
      if (at >= 100) CHECK_NOTHROW(few(std::span<const TestType>(logits), 0));
    }
  }
  const std::vector<TestType> nothing(300, TestType(-infinity));
  Sampler sample({}, 300);
  CHECK_THROWS_AS(sample(std::span<const TestType>(nothing), 0), Error);
}

TEST_CASE("a temperature near 0 takes the likeliest token, down to the smallest double") {
  const std::vector<float> logits{1, 3, 2.999f, -50, 0};
  for (const double temperature : {1e-5, 1e-30, 1e-38, 2e-39, 1e-40, 1e-45, 1e-300, 5e-324}) {
    INFO(temperature);
    CHECK(drawn({.temperature = temperature}, logits) == std::set<std::int32_t>{1});
    CHECK(drawn({.temperature = temperature, .top_k = 3, .top_p = 0.9}, logits) == std::set<std::int32_t>{1});
  }
}

TEST_CASE("top-p takes no token more where the sum is exactly p, whatever the logits are shifted by") {
  const std::vector<double> probabilities{0.5, 0.3, 0.1, 0.1};
  for (const float shift : {-20.0f, 0.0f, 3.0f, 7.7f}) {
    std::vector<float> logits;
    for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)) + shift);
    INFO(shift);
    CHECK(drawn({.temperature = 1, .top_p = 0.5}, logits) == std::set<std::int32_t>{0});
    CHECK(drawn({.temperature = 1, .top_p = 0.8}, logits) == std::set<std::int32_t>{0, 1});
    CHECK(drawn({.temperature = 1, .top_p = 0.9}, logits).size() == 3);
    CHECK(drawn({.temperature = 1, .top_p = 0.51}, logits) == std::set<std::int32_t>{0, 1});
    CHECK(drawn({.temperature = 1, .top_p = 0.81}, logits).size() == 3);
  }
}

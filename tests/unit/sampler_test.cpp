// The choice of the next token: what is kept, what is drawn, and how often.
#include <catch.hpp>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include <tinygpt/generate/sampler.hpp>
#include <tinygpt/layout/dtype.hpp>

using namespace tinygpt;

namespace {

/// Logits of the given probabilities, up to a constant.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3));
  return logits;
}

std::vector<int> counts(const SampleOptions& options, const std::vector<float>& logits, int draws) {
  Sampler sample(options, static_cast<int>(logits.size()));
  std::vector<int> count(logits.size());
  for (int i = 0; i < draws; ++i) {
    ++count[static_cast<std::size_t>(sample(std::span<const float>(logits), static_cast<std::uint64_t>(i)))];
  }
  return count;
}

std::set<std::size_t> drawn(const SampleOptions& options, const std::vector<float>& logits, int draws = 2000) {
  std::set<std::size_t> ids;
  const auto count = counts(options, logits, draws);
  for (std::size_t id = 0; id < count.size(); ++id) {
    if (count[id] > 0) ids.insert(id);
  }
  return ids;
}

}  // namespace

TEST_CASE("tokens are drawn as often as their probabilities say") {
  const std::vector<double> p{0.5, 0.02, 0.25, 0.13, 0.1};
  const int draws = 40000;
  for (const double temperature : {1.0, 0.5, 2.0}) {
    std::vector<double> expected;
    for (const double x : p) expected.push_back(std::pow(x, 1 / temperature));
    const double sum = std::accumulate(expected.begin(), expected.end(), 0.0);
    const auto count = counts({.temperature = temperature}, logits_of(p), draws);
    double chi2 = 0;
    for (std::size_t id = 0; id < p.size(); ++id) {
      const double e = draws * expected[id] / sum;
      chi2 += (count[id] - e) * (count[id] - e) / e;
    }
    INFO("temperature " << temperature);
    CHECK(chi2 < 18.5);  // 4 degrees of freedom, one in a thousand
  }
}

TEST_CASE("top-k and top-p keep the likeliest, and no more than they must") {
  const auto logits = logits_of({0.1, 0.4, 0.05, 0.3, 0.15});
  CHECK(drawn({.temperature = 1, .top_k = 1}, logits) == std::set<std::size_t>{1});
  CHECK(drawn({.temperature = 1, .top_k = 3}, logits) == std::set<std::size_t>{1, 3, 4});
  CHECK(drawn({.temperature = 1, .top_k = 9}, logits).size() == 5);
  CHECK(drawn({.temperature = 1, .top_p = 0.39}, logits) == std::set<std::size_t>{1});
  CHECK(drawn({.temperature = 1, .top_p = 0.41}, logits) == std::set<std::size_t>{1, 3});
  CHECK(drawn({.temperature = 1, .top_p = 0.86}, logits) == std::set<std::size_t>{0, 1, 3, 4});
  // Of the three that top-k keeps, top-p counts the share: 0.4 / 0.85.
  CHECK(drawn({.temperature = 1, .top_k = 3, .top_p = 0.45}, logits) == std::set<std::size_t>{1});
  CHECK(drawn({.temperature = 1, .vocab = 3}, logits) == std::set<std::size_t>{0, 1, 2});
}

TEST_CASE("equal logits rank by token id, in vocabularies larger than what is ranked at first") {
  std::vector<float> logits(5000, 1.0f);
  CHECK(drawn({.temperature = 0}, logits, 3) == std::set<std::size_t>{0});
  CHECK(*drawn({.temperature = 1, .top_k = 100}, logits, 5000).rbegin() == 99);
  CHECK(*drawn({.temperature = 1, .top_p = 0.5}, logits, 20000).rbegin() == 2499);
  logits[4000] = 1.5f;
  CHECK(drawn({.temperature = 0}, logits, 3) == std::set<std::size_t>{4000});
  CHECK(drawn({.temperature = 1, .top_k = 1}, logits, 3) == std::set<std::size_t>{4000});
}

TEMPLATE_TEST_CASE("the likeliest token is the first of the largest logits, wherever it lies", "", float, bfloat16) {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const auto found = [](const std::vector<float>& logits) {
    const std::vector<TestType> stored = [&] {
      std::vector<TestType> numbers;
      for (const float x : logits) numbers.push_back(TestType(x));
      return numbers;
    }();
    return likeliest(std::span<const TestType>(stored));
  };
  for (const std::size_t size : {1, 2, 15, 16, 17, 255, 256, 257, 1000}) {
    for (std::size_t at = 0; at < size; at += size < 20 ? 1 : 7) {
      std::vector<float> logits(size, -2.0f);
      logits[at] = -1;
      INFO("number " << at << " of " << size);
      CHECK(found(logits) == at);
      logits.back() = -1;  // an equal one behind it
      if (at > 0) logits.front() = nan;
      CHECK(found(logits) == at);
      logits[at] = infinity;
      CHECK(found(logits) == at);
    }
    CHECK(found(std::vector<float>(size, -infinity)) == 0);
    CHECK(found(std::vector<float>(size, nan)) == 0);
  }
}

TEST_CASE("logits of any size are survived, and bf16 draws what the same numbers in float32 do") {
  const std::vector<float> wild{-1e30f, 88, 1e30f, -std::numeric_limits<float>::infinity()};
  CHECK(drawn({.temperature = 1}, wild) == std::set<std::size_t>{2});
  std::vector<bfloat16> half;
  std::vector<float> single;
  for (int i = 0; i < 300; ++i) {
    half.push_back(bfloat16(std::sin(static_cast<float>(i)) * 4));
    single.push_back(static_cast<float>(half.back()));
  }
  Sampler sample({.temperature = 0.8, .top_k = 50, .top_p = 0.9}, 300);
  for (std::uint64_t i = 0; i < 200; ++i) {
    CHECK(sample(std::span<const bfloat16>(half), i) == sample(std::span<const float>(single), i));
  }
}

TEST_CASE("a sequence draws with the seed after that of the one before it") {
  const std::vector<float> logits(50, 0.0f);
  Sampler first({.seed = 7}, 50), second({.seed = 8}, 50);
  for (std::uint64_t i = 0; i < 50; ++i) {
    CHECK(first(std::span<const float>(logits), i, 1) == second(std::span<const float>(logits), i));
  }
}

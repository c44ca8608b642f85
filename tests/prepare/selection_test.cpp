// Which documents go where: duplicates, validation, mixtures; and work in order.
#include <catch.hpp>

#include <atomic>
#include <random>
#include <set>

#include <tinygpt/prepare/mixture.hpp>
#include <tinygpt/prepare/pipeline.hpp>
#include <tinygpt/prepare/selection.hpp>

#include "inputs.hpp"

using namespace tinygpt;
using namespace tinygpt::prepare;

namespace {

DocumentRecord record(int text, std::uint32_t tokens = 10) {
  return {fingerprint_of(std::to_string(text)), 1, tokens, 0, 1};
}

Records written(const ScratchDirectory& scratch, const std::string& name, const std::vector<DocumentRecord>& records) {
  const auto path = scratch.path / name;
  GrowingFile file(path, 0);
  file.write(std::as_bytes(std::span(records)));
  file.sync();
  return {path, static_cast<std::int64_t>(records.size()), 0};
}

const auto none = [](std::int64_t) { return false; };

}  // namespace

TEST_CASE("a growing file forgets what lies beyond the length it is opened at") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "log";
  const std::vector<std::uint16_t> numbers{1, 2, 3, 4, 5, 6};
  {
    GrowingFile file(path, 0);
    file.write(std::as_bytes(std::span(numbers)));
    file.sync();
  }
  {
    GrowingFile file(path, 4);
    file.write(std::as_bytes(std::span(numbers).first(1)));
    file.sync();
    CHECK(file.bytes() == 6);
  }
  SequentialFile<std::uint16_t> file(path);
  CHECK(file.read() == 1);
  file.skip(1);
  CHECK(file.read() == 1);
  CHECK_THROWS_AS(file.read(), DamagedFile);
  CHECK_THROWS_AS(GrowingFile(path, 100), DamagedFile);
}

TEST_CASE("a sequential file reads, skips and begins again at any place") {
  const ScratchDirectory scratch;
  std::vector<std::uint32_t> numbers(300'000);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::uint32_t>(i);
  const auto path = scratch.file("numbers", {reinterpret_cast<const char*>(numbers.data()), numbers.size() * 4});
  SequentialFile<std::uint32_t> file(path, 5);
  std::mt19937 random(1);
  std::uint32_t at = 5;
  while (at < 250'000) {
    const auto skipped = static_cast<std::int64_t>(random() % 3 == 0 ? random() % 9'000 : 0);
    file.skip(skipped);
    at += static_cast<std::uint32_t>(skipped);
    std::vector<std::uint32_t> some(random() % 5'000);
    file.read(some);
    for (const std::uint32_t number : some) {
      if (number != at++) FAIL("read " << number << " instead of " << at - 1);
    }
  }
  file.rewind(7);
  CHECK(file.read() == 7);
}

TEST_CASE("every document but the first of those that are the same is a duplicate, however little memory there is") {
  const ScratchDirectory scratch;
  std::mt19937 random(3);
  std::vector<DocumentRecord> first, second;
  std::vector<bool> expected;
  std::set<int> seen;
  for (int i = 0; i < 2000; ++i) {
    const int text = static_cast<int>(random() % 900);
    (i < 700 ? first : second).push_back(record(text));
    expected.push_back(!seen.insert(text).second);
  }
  const std::vector<Records> all{written(scratch, "a", first), written(scratch, "b", second)};
  for (const std::int64_t most : {1'000'000, 100, 7}) {
    CAPTURE(most);
    const Duplicates duplicates(all, most);
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) wrong += duplicates[static_cast<std::int64_t>(i)] != expected[i];
    CHECK(wrong == 0);
  }
}

TEST_CASE("validation takes its part of every source as nearly as whole documents can") {
  const ScratchDirectory scratch;
  std::mt19937 random(4);
  for (const int count : {2, 10, 300, 40'000}) {
    for (const double fraction : {0.01, 0.05, 0.3, 0.9}) {
      CAPTURE(count, fraction);
      std::vector<DocumentRecord> records;
      std::int64_t total = 0, longest = 0;
      for (int i = 0; i < count; ++i) {
        records.push_back(record(i, static_cast<std::uint32_t>(random() % 200 + 1)));
        total += records.back().tokens;
        longest = std::max<std::int64_t>(longest, records.back().tokens);
      }
      const Records file = written(scratch, "r", records);
      ValidationSet validation;
      validation.choose(file, fraction, none);
      validation.sort();
      std::int64_t chosen = 0;
      for (const DocumentRecord& r : records) chosen += validation.contains(r.text) ? r.tokens : 0;
      CHECK(chosen < total);
      CHECK(std::abs(static_cast<double>(chosen) - fraction * static_cast<double>(total)) <=
            static_cast<double>(longest));
    }
  }
}

TEST_CASE("the same text goes the same way in every source, and what was trained on never validates") {
  const ScratchDirectory scratch;
  std::vector<DocumentRecord> a, b;
  for (int i = 0; i < 500; ++i) a.push_back(record(i));
  for (int i = 400; i < 1000; ++i) b.push_back(record(i));
  a.insert(a.end(), a.begin(), a.begin() + 50);
  ValidationSet validation;
  validation.choose(written(scratch, "a", a), 0.3, none);
  validation.choose(written(scratch, "b", b), 0.1, none);
  validation.sort();
  const auto first = std::find_if(b.begin(), b.end(), [&](const auto& r) { return validation.contains(r.text); });
  REQUIRE(first != b.end());
  validation.remove(first->text);
  CHECK_FALSE(validation.contains(first->text));
  CHECK(std::any_of(b.begin(), b.end(), [&](const auto& r) { return validation.contains(r.text); }));
}

TEST_CASE("one text alone is for training, and so are copies of it") {
  const ScratchDirectory scratch;
  ValidationSet validation;
  validation.choose(written(scratch, "a", {record(1), record(1), record(1)}), 0.5, none);
  validation.sort();
  CHECK(validation.none_added());
}

TEST_CASE("a mixture has the weights that were asked for, within what there is") {
  const auto plan = [](std::vector<Share> shares, const MixtureOptions& options) {
    plan_mixture(shares, options);
    std::vector<std::int64_t> targets;
    for (const Share& share : shares) targets.push_back(share.target);
    return targets;
  };
  using Targets = std::vector<std::int64_t>;
  CHECK(plan({{1000}, {500}}, {}) == Targets{1000, 500});
  CHECK(plan({{1000}, {500}}, {.total_tokens = 300}) == Targets{200, 100});
  CHECK(plan({{1000}, {500}}, {.total_tokens = 3000}) == Targets{1000, 500});
  CHECK(plan({{1000}, {500}}, {.total_tokens = 3000, .repeat = true}) == Targets{2000, 1000});
  CHECK(plan({{1000}, {500}}, {.total_tokens = 30000, .repeat = true, .max_repeat = 3}) == Targets{3000, 1500});
  CHECK(plan({{1000, 1}, {500, 1}}, {}) == Targets{500, 500});
  CHECK(plan({{1000, 1}, {500, 3}}, {}) == Targets{167, 500});
  CHECK(plan({{1000, 3}, {500}}, {}) == Targets{1000, 333});
  CHECK(plan({{1000, 1}, {500, 1}}, {.repeat = true}) == Targets{1000, 1000});
  CHECK(plan({{1000, 1}, {10, 1}}, {.repeat = true, .max_repeat = 5}) == Targets{50, 50});
  CHECK(plan({{1000, 1}, {10, 1}}, {.total_tokens = 200}) == Targets{100, 10});
  CHECK(plan({{0}, {10}}, {}) == Targets{0, 10});
  CHECK(plan({{0}, {0}}, {}) == Targets{0, 0});
}

TEST_CASE("sources take turns in proportion, and each reaches its target") {
  std::vector<Share> shares{{0, 0, 0, 900}, {0, 0, 0, 90}, {0, 0, 0, 0}};
  std::vector<std::int64_t> given(3);
  double worst = 0;
  interleave(
      shares,
      [&](std::size_t i, std::int64_t room) {
        CHECK(room == shares[i].target - given[i]);
        given[i] += 3;
        const double a = static_cast<double>(given[0]) / 900, b = static_cast<double>(given[1]) / 90;
        worst = std::max(worst, std::abs(a - b));
        return 3;
      },
      10);
  CHECK(given == std::vector<std::int64_t>{900, 90, 0});
  CHECK(worst < 0.15);
}

TEST_CASE("results come in the order of the items at any number of threads") {
  for (const int threads : {1, 2, 7}) {
    std::atomic<int> workers{0};
    int next = 0;
    std::vector<int> results;
    in_order(
        threads, [&]() -> std::optional<int> { return next < 500 ? std::optional(next++) : std::nullopt; },
        [&] {
          ++workers;
          return [](int&& i) {
            if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
            return 2 * i;
          };
        },
        [&](int&& result) { results.push_back(result); });
    REQUIRE(results.size() == 500);
    for (std::size_t i = 0; i < results.size(); ++i) CHECK(results[i] == 2 * static_cast<int>(i));
    CHECK(workers <= threads);
  }
}

TEST_CASE("the first fault in the order of the items is thrown, after what came before it") {
  enum class In { next, worker, sink };
  for (const In where : {In::next, In::worker, In::sink}) {
    for (const int threads : {1, 4}) {
      int next = 0;
      std::vector<int> results;
      const auto run = [&] {
        in_order(
            threads,
            [&]() -> std::optional<int> {
              if (where == In::next && next == 40) throw Error("40");
              return next++;
            },
            [&] {
              return [&](int&& i) {
                if (where == In::worker && (i == 40 || i == 41)) throw Error(std::to_string(i));
                return i;
              };
            },
            [&](int&& result) {
              if (where == In::sink && result >= 40) throw Error(std::to_string(result));
              results.push_back(result);
            });
      };
      CHECK_THROWS_WITH(run(), "40");
      CHECK(results.size() == 40);
    }
  }
}

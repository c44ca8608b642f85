#include <catch.hpp>

#include <chrono>
#include <numeric>
#include <set>

#include <scratch.hpp>
#include <shards.hpp>

#include <tinygpt/data/prefetcher.hpp>
#include <tinygpt/io/shard_writer.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

constexpr auto train = Purpose::training_batch, validate = Purpose::validation_batch;
constexpr std::uint64_t seed = 1337;

std::vector<std::int32_t> counting(std::int64_t n, std::int32_t from = 0) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

struct Batch {
  std::vector<std::int32_t> tokens, targets;
  bool operator==(const Batch&) const = default;
};

template <class Source>
Batch drawn(const Source& source, std::size_t batch, int time, std::uint64_t number, Purpose purpose = train,
            std::uint64_t with_seed = seed) {
  const std::size_t size = batch * static_cast<std::size_t>(time);
  Batch b{std::vector<std::int32_t>(size, -1), std::vector<std::int32_t>(size, -1)};
  source.draw(b.tokens, b.targets, time, with_seed, purpose, number);
  return b;
}

/// The tokens of `count` batches, one after the other.
std::vector<std::int32_t> run(const TokenStream& stream, std::size_t batch, int time, std::uint64_t first,
                              std::uint64_t count, Purpose purpose = train) {
  std::vector<std::int32_t> tokens;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Batch b = drawn(stream, batch, time, first + i, purpose);
    tokens.insert(tokens.end(), b.tokens.begin(), b.tokens.end());
  }
  return tokens;
}

/// Shards of those lengths; the tokens count on from one to the next, and every first token is a multiple of 10,000.
std::vector<TokenShard> shards_of(const ScratchDirectory& scratch, const std::vector<std::int64_t>& lengths) {
  std::vector<TokenShard> shards;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto path = scratch.path / ("s" + std::to_string(i) + ".bin");
    ShardWriter writer(path, ShardFormat::llmc_uint32);
    writer.write(counting(lengths[i], static_cast<std::int32_t>(10'000 * i)));
    writer.finish();
    shards.push_back(TokenShard::open(path));
  }
  return shards;
}

}  // namespace

TEST_CASE("a permutation gives every number once, at any size") {
  for (std::uint64_t n = 1; n <= 300; ++n) {
    std::set<std::uint64_t> seen;
    const Permutation permutation(n, seed, train, n % 7);
    for (std::uint64_t i = 0; i < n; ++i) seen.insert(permutation(i));
    REQUIRE(seen.size() == n);
    REQUIRE(*seen.rbegin() == n - 1);
  }
  for (const std::uint64_t n : {(std::uint64_t{1} << 32) + 1, std::uint64_t{1} << 40, std::uint64_t{1} << 63}) {
    std::set<std::uint64_t> seen;
    const Permutation permutation(n, seed, train, 0);
    for (std::uint64_t i = 0; i < 2000; ++i) seen.insert(permutation(n - 1 - i));
    CHECK(seen.size() == 2000);
    CHECK(*seen.rbegin() < n);
    CHECK(*seen.rbegin() > n / 2);
  }
}

TEST_CASE("permutations are as varied as shuffles: every pair of places is as frequent as it should be") {
  // Each ordered pair of places of two elements is expected 200 times; the limit is passed by chance once in a million.
  for (const std::uint64_t n : {2u, 3u, 5u, 6u, 7u, 9u, 13u, 31u, 33u, 64u}) {
    const std::uint64_t pairs = n * (n - 1);
    std::map<std::pair<std::uint64_t, std::uint64_t>, double> count;
    for (std::uint64_t epoch = 0; epoch < 200 * pairs; ++epoch) {
      const Permutation permutation(n, seed, train, epoch);
      ++count[{permutation(0), permutation(n - 1)}];
    }
    CHECK(count.size() == pairs);
    double chi2 = 0;
    for (const auto& [pair, observed] : count) chi2 += (observed - 200) * (observed - 200) / 200;
    const double freedom = static_cast<double>(pairs - 1);
    INFO(n << " elements");
    CHECK(chi2 < freedom + 5 * std::sqrt(2 * freedom) + 15);
  }
  // And in a large one, where a number lands says nothing of where the next one does.
  const Permutation large(100'003, seed, train, 1);
  double product = 0;
  for (std::uint64_t i = 0; i + 1 < 100'003; ++i) {
    product += (static_cast<double>(large(i)) / 50'001 - 1) * (static_cast<double>(large(i + 1)) / 50'001 - 1);
  }
  CHECK(std::abs(product / 100'003 * 3) < 4.5 / std::sqrt(100'003));
}

TEST_CASE("an epoch has each window once, in another order each time, and then begins anew") {
  const TokenStream stream(counting(10 * 8 + 1));
  CHECK(stream.windows(8) == 10);
  std::set<std::vector<std::int32_t>> orders;
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    std::vector<std::int32_t> order;
    for (std::uint64_t i = 0; i < 5; ++i) {
      const Batch b = drawn(stream, 2, 8, 1 + epoch * 5 + i);
      for (std::size_t k = 0; k < 16; ++k) CHECK(b.targets[k] == b.tokens[k] + 1);
      order.push_back(b.tokens[0]);
      order.push_back(b.tokens[8]);
    }
    orders.insert(order);
    std::sort(order.begin(), order.end());
    CHECK(order == std::vector<std::int32_t>{0, 8, 16, 24, 32, 40, 48, 56, 64, 72});
  }
  CHECK(orders.size() == 20);
}

TEST_CASE("windows do not depend on how they are divided among batches") {
  for (const auto sampling : {Sampling::epoch, Sampling::random}) {
    const TokenStream stream(counting(1003), sampling);
    const auto alone = run(stream, 1, 16, 1, 60);
    CHECK(run(stream, 2, 16, 1, 30) == alone);
    CHECK(run(stream, 5, 16, 1, 12) == alone);
    CHECK(run(stream, 60, 16, 1, 1) == alone);
    CHECK(run(stream, 3, 16, 0, 20, validate) == run(stream, 12, 16, 0, 5, validate));
  }
}

TEST_CASE("a run goes on with the very next window, whatever the size of its batches then") {
  for (const auto sampling : {Sampling::epoch, Sampling::random}) {
    TokenStream stream(counting(1003), sampling);
    const auto whole = run(stream, 1, 16, 1, 200);
    auto parts = run(stream, 4, 16, 1, 13);
    stream.go_on_at(7, 52);
    const auto rest = run(stream, 37, 16, 7, 4);
    parts.insert(parts.end(), rest.begin(), rest.end());
    CHECK(parts == whole);
  }
}

TEST_CASE("batches for validation are the same whatever has been trained, and not those of training") {
  TokenStream stream(counting(2001));
  const auto before = run(stream, 4, 16, 0, 5, validate);
  stream.go_on_at(1000, 123'456);
  CHECK(run(stream, 4, 16, 0, 5, validate) == before);
  stream.go_on_at(0, 0);
  CHECK(run(stream, 4, 16, 0, 5) != before);
  CHECK(drawn(stream, 4, 16, 1, train, 1) != drawn(stream, 4, 16, 1, train, 2));
}

TEST_CASE("random windows begin anywhere, the first and the last place included") {
  const TokenStream stream(counting(20), Sampling::random);
  std::map<std::int32_t, int> count;
  for (std::uint64_t i = 1; i <= 1700; ++i) ++count[drawn(stream, 1, 3, i).tokens[0]];
  CHECK(count.size() == 17);
  CHECK(count.begin()->first == 0);
  CHECK(count.rbegin()->first == 16);
  for (const auto& [first, times] : count) CHECK(std::abs(times - 100) < 50);
}

TEST_CASE("a window lies within one shard, and every shard has its windows") {
  const ScratchDirectory scratch;
  // 2, none, 1 (exactly one window and the token after it), none and 3 windows of 10.
  const std::vector<std::int64_t> lengths{29, 10, 11, 1, 31};
  for (const auto sampling : {Sampling::epoch, Sampling::random}) {
    const TokenStream stream(shards_of(scratch, lengths), 50'000, sampling);
    CHECK(stream.size() == 82);
    CHECK(stream.windows(10) == 6);
    std::set<std::int32_t> firsts;
    for (std::uint64_t i = 1; i <= 600; ++i) {
      const Batch b = drawn(stream, 1, 10, i);
      CHECK(b.tokens == counting(10, b.tokens[0]));
      CHECK(b.targets == counting(10, b.tokens[0] + 1));
      const auto shard = static_cast<std::size_t>(b.tokens[0] / 10'000);
      CHECK(b.targets.back() % 10'000 < lengths[shard]);
      firsts.insert(b.tokens[0]);
      if (i == 6 && sampling == Sampling::epoch)
        CHECK(firsts == std::set<std::int32_t>{0, 10, 20'000, 40'000, 40'010, 40'020});
    }
    if (sampling == Sampling::random) CHECK(firsts.size() == 19 + 1 + 21);
  }
}

TEST_CASE("shards give the windows that the same tokens give in memory") {
  const ScratchDirectory scratch;
  const TokenStream mapped(shards_of(scratch, {5000}), 5000), held(counting(5000));
  for (std::uint64_t i = 1; i < 40; ++i) CHECK(drawn(mapped, 7, 33, i) == drawn(held, 7, 33, i));
}

TEST_CASE("a shard of exactly B x T + 1 tokens gives B windows") {
  const ScratchDirectory scratch;
  const TokenStream stream(shards_of(scratch, {4 * 25 + 1}), 101);
  CHECK(stream.windows(25) == 4);
  auto firsts = drawn(stream, 4, 25, 1).tokens;
  std::sort(firsts.begin(), firsts.end());
  CHECK(firsts == counting(100));
  CHECK(TokenStream(counting(4 * 25)).windows(25) == 3);
}

TEST_CASE("data that hold no window are refused in a sentence") {
  CHECK_THROWS_WITH(drawn(TokenStream(counting(16)), 1, 16, 1), Contains("not one window of 16 tokens"));
  CHECK_THROWS_WITH(drawn(TokenStream(std::vector<std::int32_t>{}), 1, 1, 1), Contains("too short"));
  CHECK_NOTHROW(drawn(TokenStream(counting(17)), 3, 16, 1));
}

TEST_CASE("windows are counted beyond 32 bits") {
  const TokenStream stream(counting(1001));
  const std::uint64_t epoch = (std::uint64_t{1} << 33) + 5;
  std::set<std::int64_t> places;
  for (std::uint64_t w = 0; w < 100; ++w) places.insert(stream.place(epoch * 100 + w, 10, seed, train).token);
  CHECK(places.size() == 100);
  const ScratchDirectory scratch;
  const auto path = scratch.file("large.bin", "");
  std::filesystem::resize_file(path, std::uintmax_t{2} * 5'000'000'001);
  std::vector<TokenShard> one;
  one.push_back(TokenShard::open(path, ShardFormat::raw_uint16));
  const TokenStream large(std::move(one), 1);
  CHECK(large.windows(1000) == 5'000'000);
  std::int64_t last = 0;
  for (std::uint64_t w = 0; w < 1000; ++w) last = std::max(last, large.place(w, 1000, seed, train).token);
  CHECK(last > 4'950'000'000);
  CHECK(drawn(large, 3, 1000, 1).targets == std::vector<std::int32_t>(3000, 0));
}

TEST_CASE("a shard that changes while it is trained on stops the run in a sentence") {
  const ScratchDirectory scratch;
  auto shards = shards_of(scratch, {1001});
  shards[0].validate(1001);
  const TokenStream stream(std::move(shards), 1001);
  run(stream, 4, 100, 1, 10);
  std::fstream(scratch.path / "s0.bin", std::ios::binary | std::ios::in | std::ios::out).seekp(1024 + 4 * 500)
      << std::string(4, '\x11');
  CHECK_THROWS_WITH(run(stream, 4, 100, 1, 10), Contains("has changed since it was checked") && Contains("286331153"));
  std::filesystem::resize_file(scratch.path / "s0.bin", 0);
  CHECK_THROWS_WITH(run(stream, 4, 100, 1, 10), Contains("became shorter"));
}

TEST_CASE("what is fetched ahead is what would have been drawn") {
  const ScratchDirectory scratch;
  const TokenStream stream(shards_of(scratch, {5000, 700}), 20'000);
  const Prefetcher ahead(stream);
  for (std::uint64_t i = 1; i < 300; ++i) CHECK(drawn(ahead, 4, 16, i) == drawn(stream, 4, 16, i));
  // In any order, of any size, for any purpose.
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const auto bits = random_bits(1, Purpose::sampling, i, 0);
    const std::uint64_t number = bits[0] % 4 == 0 ? bits[1] % 50 : i;
    const std::size_t batch = bits[0] % 8 == 1 ? 3 : 4;
    const int time = bits[0] % 16 == 2 ? 5 : 16;
    const Purpose purpose = bits[0] % 16 == 3 ? validate : train;
    REQUIRE(drawn(ahead, batch, time, number, purpose) == drawn(stream, batch, time, number, purpose));
  }
}

TEST_CASE("a batch is there at once when it was fetched while the step ran") {
  const ScratchDirectory scratch;
  const TokenStream stream(shards_of(scratch, {5000}), 5000);
  const Prefetcher ahead(stream);
  const Batch second = drawn(stream, 4, 16, 2);
  drawn(ahead, 4, 16, 1);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  // The file is gone; what was fetched is not, and what was not is an error when it is asked for.
  std::filesystem::resize_file(scratch.path / "s0.bin", 0);
  CHECK(drawn(ahead, 4, 16, 2) == second);
  CHECK_THROWS_AS(drawn(ahead, 4, 16, 3), DamagedFile);
  CHECK_THROWS_AS(drawn(ahead, 4, 16, 3), DamagedFile);
  CHECK_THROWS_AS(drawn(ahead, 4, 16, 1), DamagedFile);
}

TEST_CASE("fetching ends at once, whenever it is told to") {
  const TokenStream stream(counting(100'000));
  for (int i = 0; i < 300; ++i) {
    const Prefetcher ahead(stream);
    for (std::uint64_t k = 0; k < static_cast<std::uint64_t>(i % 4); ++k) drawn(ahead, 64, 100, k + 1);
  }
  SUCCEED("no thread was left waiting");
}

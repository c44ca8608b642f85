// Plans of memory that 64 bits, or 32, cannot count: they are too large for any machine, and never wrap around.
#include <climits>

#include <catch.hpp>
#include <tinygpt/cpu/memory.hpp>
#include <tinygpt/io/size_check.hpp>
#include <tinygpt/layout/memory.hpp>

using namespace tinygpt;

namespace {

constexpr Config gpt2{.layers = 12,
                      .embd = 768,
                      .query_heads = 12,
                      .kv_heads = 12,
                      .ctx = 1024,
                      .head_dim = 64,
                      .vocab = 50257,
                      .ffn = 3072};

constexpr Config largest() {
  Config c = gpt2;
  c.query_heads = c.kv_heads = 1'000, c.head_dim = 1'000;
  for (const SizeField& field : size_fields) {
    if (field.member != &Config::query_heads && field.member != &Config::kv_heads &&
        field.member != &Config::head_dim) {
      c.*field.member = field.most;
    }
  }
  return c;
}

constexpr Config at_context(int context) {
  Config c = gpt2;
  c.ctx = context;
  return c;
}

}  // namespace

TEST_CASE("Tokens of a batch are counted in 64 bits") {
  // 4096 x 5,000,000 tokens are more than 2^31.
  STATIC_REQUIRE(train_memory(gpt2, Batch{4096}, Time{5'000'000}).batch == 2LL * 4 * 4096 * 5'000'000);
  STATIC_REQUIRE(train_bytes(gpt2, Batch{16}, Time{INT_MAX}) > train_bytes(gpt2, Batch{8}, Time{INT_MAX}));
  std::int64_t before = 0;
  for (int batch = 1; batch <= 1 << 20; batch *= 2) {
    const std::int64_t bytes = train_bytes(at_context(5'000'000), Batch{batch}, Time{5'000'000});
    CHECK(bytes > before);
    before = bytes;
  }
  CHECK(largest_batch(at_context(5'000'000), Time{5'000'000}, 8_GiB) == 0);
}

TEST_CASE("What cannot be counted is more than any machine has, for every precision and way to train") {
  for (const Precision precision : {float32, bf16}) {
    for (const Recompute recompute : {Recompute::none, Recompute::activations, Recompute::blocks}) {
      const TrainMemory memory = train_memory(largest(), Batch{INT_MAX}, Time{INT_MAX}, precision, recompute);
      CHECK(memory.activations == uncountable);
      CHECK(memory.total() == uncountable);
      CHECK(size_sum(memory.total(), cpu::train_workspace(largest(), INT_MAX, 1'000'000)) == uncountable);
      CHECK(largest_batch(largest(), Time{largest().ctx}, 1LL << 50, precision, recompute) == 0);
    }
    CHECK(generate_bytes(largest(), precision, Batch{INT_MAX}) == uncountable);
    CHECK(generate_bytes(largest(), precision) > 0);
    CHECK(kv_cache_bytes(largest(), precision) > 0);
  }
}

TEST_CASE("Sums and products of sizes stop where 64 bits end") {
  STATIC_REQUIRE(size_product(3, 5, 7) == 105);
  STATIC_REQUIRE(size_product(0, uncountable, uncountable) == 0);
  STATIC_REQUIRE(size_product(uncountable, 2) == uncountable);
  STATIC_REQUIRE(size_product(std::int64_t{1} << 32, std::int64_t{1} << 32) == uncountable);
  STATIC_REQUIRE(size_sum(uncountable, 1) == uncountable);
  STATIC_REQUIRE(size_sum(1, 2, 3) == 6);
  STATIC_REQUIRE(aligned(uncountable) == uncountable);
  STATIC_REQUIRE(aligned(1) == buffer_alignment);
}

TEST_CASE("The chunk of logits of a small model takes less than the model") {
  Config small = gpt2;
  small.layers = 4, small.embd = 192, small.query_heads = small.kv_heads = 4, small.head_dim = 48, small.ffn = 768,
  small.vocab = 50304;
  CHECK(train_bytes(small, Batch{16}, Time{128}, bf16) < train_bytes(small, Batch{16}, Time{128}, float32));
  CHECK(logits_rows(small, 1 << 20, storage_of(bf16)) >= 256);
  CHECK(logits_rows(gpt2, 1 << 20, storage_of(bf16)) == (1 << 27) / gpt2.vocab);
}

// Attention over a key/value cache on the gpu backend: prompts and single positions, against the reference in double.
#include <algorithm>

#include <attention_problem.hpp>
#include <catch.hpp>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

/// A cache of one layer on both backends, filled step by step; positions that were not written hold what no test
/// forgives.
template <class E, int Q, int KV, int D, int N> struct CacheProblem {
  using Cache = Ctx<N>;
  static constexpr int kv_width = KV * D, width = Qkv<Q, KV, D>::value;
  static constexpr double unwritten = 1e30;

  CacheProblem()
      : keys(std::vector<double>(static_cast<std::size_t>(N) * kv_width, unwritten)),
        values(std::vector<double>(static_cast<std::size_t>(N) * kv_width, unwritten)) {
    ctx.reserve_scratch(gpu::decode_attention_scratch(N, Q, KV, D));
  }

  /// Reads T positions from `filled` on; the gpu finds where in its memory.
  void read_positions(int time, std::uint64_t seed) {
    INFO("positions " << filled << " + " << time << " of " << N << ", heads " << Q << " / " << KV << " of " << D);
    Twin<E> qkv(normal_numbers(std::int64_t{time} * width, seed, 1.5));
    Twin<E> y(std::vector<double>(static_cast<std::size_t>(time) * Q * D, unwritten));
    const OnDevice<int> position(std::vector<int>{filled - 1});
    const auto tensor = [&](auto* p) {
      return Tensor<std::remove_pointer_t<decltype(p)>, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>>(p, 1, time);
    };
    const auto heads = [&](auto* p) {
      return Tensor<std::remove_pointer_t<decltype(p)>, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>>(p, 1, time);
    };
    const auto cache = [](auto* p) { return Tensor<std::remove_pointer_t<decltype(p)>, Ctx<N>, KvHeads<KV, D>>(p); };
    decode_attention(exact, heads(y.exact()), cache(keys.exact()), cache(values.exact()), read(tensor(qkv.exact())),
                     filled);
    decode_attention(ctx, heads(y.gpu()), cache(keys.gpu()), cache(values.gpu()), read(tensor(qkv.gpu())),
                     Deferred<int>(1, position.data()));
    filled += time;
    CHECK(y.error() <= tolerance<E>(std::max(filled, D)));
    CHECK(keys.from_gpu() == keys.from_exact());
    CHECK(values.from_gpu() == values.from_exact());
  }

  int filled = 0;
  gpu::Context<E> ctx;
  reference::Context<double> exact;
  Twin<E> keys, values;
};

/// A prompt, single positions, more at once, single positions up to the end of the cache.
template <class E, int Q, int KV, int D, int N> void generates(std::uint64_t seed) {
  CacheProblem<E, Q, KV, D, N> problem;
  const int prompt = 2 + static_cast<int>(seed % (N / 2));
  problem.read_positions(prompt, seed);
  for (int i = 0; i < 3; ++i) problem.read_positions(1, seed + 1 + static_cast<std::uint64_t>(i));
  problem.read_positions(std::min(7, N - problem.filled - 2), seed + 10);
  const int rest = N - problem.filled;
  if (rest > 3) problem.read_positions(rest - 2, seed + 11);
  while (problem.filled < N) problem.read_positions(1, seed + 20 + static_cast<std::uint64_t>(problem.filled));
}

/// Everything token by token.
template <class E, int Q, int KV, int D, int N> void from_nothing(std::uint64_t seed, int count) {
  CacheProblem<E, Q, KV, D, N> problem;
  for (int i = 0; i < count; ++i) problem.read_positions(1, seed + static_cast<std::uint64_t>(i));
}

}  // namespace

TEST_CASE("decoding attends as the reference does: bf16, groups of every kind") {
  generates<bfloat16, 2, 2, 64, 40>(100);
  generates<bfloat16, 3, 1, 64, 300>(210);
  generates<bfloat16, 8, 1, 48, 70>(320);   // two blocks of four heads
  generates<bfloat16, 7, 1, 80, 130>(430);  // four heads, then three
  generates<bfloat16, 10, 2, 16, 33>(540);
}
TEST_CASE("decoding attends as the reference does: bf16, small, odd and large heads") {
  generates<bfloat16, 4, 2, 10, 70>(650);
  generates<bfloat16, 2, 1, 7, 70>(760);
  generates<bfloat16, 1, 1, 128, 70>(870);
  generates<bfloat16, 2, 1, 136, 20>(980);
  generates<bfloat16, 1, 1, 2, 20>(990);
  generates<bfloat16, 1, 1, 1, 20>(995);
}
TEST_CASE("decoding attends as the reference does: float32") {
  generates<float, 3, 1, 64, 200>(1100);
  generates<float, 4, 4, 48, 40>(1210);
  generates<float, 6, 2, 10, 70>(1320);
  generates<float, 1, 1, 7, 70>(1430);
  generates<float, 2, 1, 33, 40>(1450);
  generates<float, 1, 1, 136, 40>(1540);
}
TEST_CASE("decoding attends as the reference does: from an empty cache, one position at a time, over several splits") {
  from_nothing<bfloat16, 4, 2, 32, 256>(2000, emulated() ? 140 : 256);
  from_nothing<float, 2, 2, 16, 256>(3000, emulated() ? 140 : 256);
}

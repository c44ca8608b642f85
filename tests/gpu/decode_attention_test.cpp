// Attention over a key/value cache on the gpu backend: prompts and single positions, against the reference in double.
#include <algorithm>

#include <attention_problem.hpp>
#include <catch.hpp>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

/// The caches of one layer on both backends, filled step by step; positions that were not written hold what no test
/// forgives.
template <class E, int Q, int KV, int D, int N> struct CacheProblem {
  static constexpr int kv_width = KV * D, width = Qkv<Q, KV, D>::value;
  static constexpr double unwritten = 1e30;

  explicit CacheProblem(int sequences = 1)
      : filled(static_cast<std::size_t>(sequences)),
        keys(std::vector<double>(static_cast<std::size_t>(sequences) * N * kv_width, unwritten)),
        values(std::vector<double>(static_cast<std::size_t>(sequences) * N * kv_width, unwritten)) {
    ctx.reserve_scratch(gpu::decode_attention_scratch(sequences, N, Q, KV, D));
  }

  /// Each of `count` sequences from `first` on reads `time` positions more; the gpu finds in its memory which.
  void read_positions(int time, std::uint64_t seed, int first = 0, int count = 1) {
    const std::vector<int> at(filled.begin() + first, filled.begin() + first + count);
    INFO("positions " << at[0] << " + " << time << " of " << N << ", heads " << Q << " / " << KV << " of " << D
                      << ", sequences " << first << " + " << count);
    Twin<E> qkv(normal_numbers(std::int64_t{count} * time * width, seed, 1.5));
    Twin<E> y(std::vector<double>(static_cast<std::size_t>(count) * time * Q * D, unwritten));
    const OnDevice<int> there(at);
    const auto tensor = [&](auto* p) {
      return Tensor<std::remove_pointer_t<decltype(p)>, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>>(p, count, time);
    };
    const auto heads = [&](auto* p) {
      return Tensor<std::remove_pointer_t<decltype(p)>, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>>(p, count, time);
    };
    const auto cache = [&](auto* p) {
      return Tensor<std::remove_pointer_t<decltype(p)>, Batch<dyn>, Ctx<N>, KvHeads<KV, D>>(
          p + std::int64_t{first} * N * kv_width, count);
    };
    decode_attention(exact, heads(y.exact()), cache(keys.exact()), cache(values.exact()), read(tensor(qkv.exact())),
                     FirstPosition(at.data()));
    decode_attention(ctx, heads(y.gpu()), cache(keys.gpu()), cache(values.gpu()), read(tensor(qkv.gpu())),
                     FirstPosition(there.data()));
    for (int i = first; i < first + count; ++i) filled[static_cast<std::size_t>(i)] += time;
    CHECK(y.error() <= tolerance<E>(std::max(*std::max_element(filled.begin(), filled.end()), D)));
    CHECK(keys.from_gpu() == keys.from_exact());
    CHECK(values.from_gpu() == values.from_exact());
  }
  int so_far() const { return filled[0]; }

  std::vector<int> filled;
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
  problem.read_positions(std::min(7, N - problem.so_far() - 2), seed + 10);
  const int rest = N - problem.so_far();
  if (rest > 3) problem.read_positions(rest - 2, seed + 11);
  while (problem.so_far() < N) problem.read_positions(1, seed + 20 + static_cast<std::uint64_t>(problem.so_far()));
}

/// Everything token by token.
template <class E, int Q, int KV, int D, int N> void from_nothing(std::uint64_t seed, int count) {
  CacheProblem<E, Q, KV, D, N> problem;
  for (int i = 0; i < count; ++i) problem.read_positions(1, seed + static_cast<std::uint64_t>(i));
}

/// Prompts of several lengths, then a position of each, of the first of them, and several of all.
template <class E, int Q, int KV, int D, int N> void several(std::uint64_t seed) {
  CacheProblem<E, Q, KV, D, N> problem(3);
  for (int i = 0; i < 3; ++i) problem.read_positions(2 + i * N / 5, seed + static_cast<std::uint64_t>(i), i);
  for (std::uint64_t i = 0; i < 3; ++i) problem.read_positions(1, seed + 10 + i, 0, 3);
  problem.read_positions(1, seed + 20, 0, 2);
  problem.read_positions(1, seed + 21, 1, 2);
  problem.read_positions(5, seed + 22, 0, 3);
}

}  // namespace

TEST_CASE("decoding attends as the reference does: several sequences at once, each at its own position") {
  several<bfloat16, 3, 1, 64, 150>(4000);
  several<bfloat16, 8, 2, 48, 40>(4100);
  several<float, 4, 2, 32, 150>(4200);
  several<float, 1, 1, 136, 30>(4300);
}
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

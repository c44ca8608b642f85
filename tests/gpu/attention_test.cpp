// Attention on the gpu backend, forward and backward, against the reference in double.
#include <algorithm>

#include <attention_problem.hpp>
#include <catch.hpp>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

Dropout some_dropout(double rate, std::uint64_t seed, std::uint64_t step, int ctx) {
  return {static_cast<std::uint32_t>(rate * 65536), 7, seed, step, ctx};
}

template <class E, int Q, int KV, int D> void is_the_reference(int batch, int time, double rate, std::uint64_t seed) {
  INFO("B = " << batch << ", T = " << time << ", heads " << Q << " / " << KV << " of " << D << ", dropout " << rate);
  const int ctx = time + static_cast<int>(seed % 5);  // rows of the mask are longer than sequences, and of any width
  AttentionProblem<E, Q, KV, D> problem(batch, time, seed, rate > 0 ? some_dropout(rate, seed, 41, ctx) : Dropout{});
  const OnDevice<std::uint64_t> step(std::vector<std::uint64_t>{40});
  Dropout on_gpu = problem.dropout;
  on_gpu.step = {1, step.data()};  // 1 + 40
  problem.run(on_gpu);
  // The longest sums are over the positions of a group's heads, and over the numbers of a head.
  const double longest = std::max(time * (Q / KV), D);
  CHECK(problem.y.error() <= tolerance<E>(longest));
  CHECK(problem.lse.error() <= tolerance<float>(longest));
  for (int part = 0; part < 3; ++part) {
    INFO("part " << part << " of d_qkv");
    CHECK(problem.backward_error(part) <= tolerance<E>(longest));
  }
}

/// Lengths around the edges of tiles, then random ones.
template <class E, int Q, int KV, int D> void sweep(std::uint64_t seed, int longest) {
  int count = 0;
  for (int time : {1, 2, 15, 16, 33, 64, 65, 129, 200}) {
    if (time > longest) continue;
    is_the_reference<E, Q, KV, D>(count % 3 == 1 ? 3 : 1, time, count % 2 == 0 ? 0.0 : 0.25, seed + 10 * time);
    ++count;
  }
  for (int i = 0; i < shapes() / 24; ++i) {
    const auto bits = random_bits(seed, Purpose::sampling, static_cast<std::uint64_t>(i), 1);
    is_the_reference<E, Q, KV, D>(1 + static_cast<int>(bits[0] % 3), 1 + static_cast<int>(bits[1] % longest),
                                  i % 2 == 0 ? 0.1 : 0.0, seed + static_cast<std::uint64_t>(i));
  }
}

}  // namespace

TEST_CASE("attention in bf16 is the reference's: heads of 64, as most presets have") {
  sweep<bfloat16, 2, 2, 64>(100, 200);
  sweep<bfloat16, 3, 1, 64>(200, 129);
}
TEST_CASE("attention in bf16 is the reference's: heads of 48 and 80") {
  sweep<bfloat16, 2, 1, 48>(300, 129);
  sweep<bfloat16, 2, 1, 80>(400, 129);
}
TEST_CASE("attention in bf16 is the reference's: heads of 16, 32, 96 and 128") {
  sweep<bfloat16, 4, 2, 16>(500, 129);
  sweep<bfloat16, 1, 1, 32>(600, 65);
  sweep<bfloat16, 1, 1, 96>(700, 129);
  sweep<bfloat16, 2, 1, 128>(800, 65);
}
TEST_CASE("attention in bf16 is the reference's: heads that are no multiple of 16, of 8 or of 2") {
  sweep<bfloat16, 2, 1, 24>(900, 65);
  sweep<bfloat16, 3, 3, 10>(1000, 65);
  sweep<bfloat16, 1, 1, 7>(1100, 65);
}
TEST_CASE("attention in bf16 is the reference's: heads too large for tensor cores") {
  sweep<bfloat16, 2, 1, 136>(1200, 33);
}
TEST_CASE("attention in float32 is the reference's: heads of 64, 48 and 80") {
  sweep<float, 2, 2, 64>(1300, 129);
  sweep<float, 3, 1, 48>(1400, 65);
  sweep<float, 2, 1, 80>(1500, 65);
}
TEST_CASE("attention in float32 is the reference's: small, odd and large heads") {
  sweep<float, 4, 2, 16>(1600, 65);
  sweep<float, 1, 1, 7>(1700, 65);
  sweep<float, 3, 3, 10>(1800, 33);
  sweep<float, 1, 1, 128>(1900, 33);
  sweep<float, 1, 1, 200>(2000, 33);
}

namespace {

/// Every element of the gradient and of the output, for two runs to be compared bit for bit.
template <class E, int D> std::vector<E> bits_of_a_run(int batch, int time) {
  AttentionProblem<E, 2, 1, D> problem(batch, time, 77, some_dropout(0.2, 5, 3, time));
  problem.run(problem.dropout);
  std::vector<E> all(static_cast<std::size_t>(time) * 4 * D);
  OnDevice<E> first(all);
  gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  gpu::check(cudaMemcpy(first.data(), problem.d_qkv.gpu(), all.size() * sizeof(E), cudaMemcpyDeviceToDevice),
             "cudaMemcpy");
  return first.host();
}

}  // namespace

TEST_CASE("a sequence's gradient has the same bits whatever other sequences are in the batch") {
  const auto alone = bits_of_a_run<bfloat16, 64>(1, 70), among = bits_of_a_run<bfloat16, 64>(3, 70);
  for (std::size_t i = 0; i < alone.size(); ++i) REQUIRE(alone[i].bits == among[i].bits);
  CHECK(bits_of_a_run<float, 48>(1, 40) == bits_of_a_run<float, 48>(3, 40));
}

// gpu/qkv_rows.cuh against the reference, whose projection is the identity here: QK-norm and RoPE, each and both.
#include <catch.hpp>
#include <tinygpt/gpu/qkv_rows.cuh>
#include <tinygpt/reference/qkv.hpp>

#include "on_device.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

struct Case {
  int batch, time;
  bool norm, rope;
  int first_position;
  unsigned seed;
};

template <class E, int Q, int KV, int D> void compare(const Case& c) {
  constexpr int N = 48, width = Qkv<Q, KV, D>::value;
  using Heads = Qkv<Q, KV, D>;
  using Cols = Embd<width>;
  gpu::Context<E> ctx;
  reference::Context<double> exact;
  const int tokens = c.batch * c.time;
  const auto n = static_cast<std::size_t>(tokens) * width;
  ctx.reserve_scratch(gpu::qkv_backward_scratch(tokens, D));
  INFO("heads " << Q << ", " << KV << " of " << D << ", B = " << c.batch << ", T = " << c.time << ", QK-norm " << c.norm
                << ", RoPE " << c.rope << ", first position " << c.first_position);
  const auto maybe = [](bool there, std::size_t size, unsigned seed, double mean = 0) {
    return there ? normal(size, seed, 1, mean) : std::vector<double>{};
  };
  Twin<E> projection(normal(n, c.seed)), y(c.norm ? normal(n, c.seed + 1) : projection.from_gpu()),
      raw(c.norm ? projection.from_gpu() : std::vector<double>{}), q_norm(maybe(c.norm, D, c.seed + 2, 1)),
      k_norm(maybe(c.norm, D, c.seed + 3, 1)), d(normal(n, c.seed + 4));
  Twin<float> rstd(maybe(c.norm, static_cast<std::size_t>(tokens) * (Q + KV), c.seed + 5)),
      rope(maybe(c.rope, std::size_t{N} * D, c.seed + 6)), d_q_norm(maybe(c.norm, D, c.seed + 7)),
      d_k_norm(maybe(c.norm, D, c.seed + 8));
  std::vector<int> positions;  // each sequence begins elsewhere
  for (int b = 0; b < c.batch; ++b) positions.push_back(std::max(0, c.first_position - b));
  const OnDevice<int> first(positions);
  std::vector<double> identity(static_cast<std::size_t>(width) * width), d_identity(identity.size()), d_x(n);
  for (std::size_t i = 0; i < width; ++i) identity[i * width + i] = 1;

  const auto rows = [&](auto* p) {
    return Tensor<std::remove_pointer_t<decltype(p)>, Batch<dyn>, Time<dyn>, Heads>(p, c.batch, c.time);
  };
  const auto x_rows = [&](double* p) { return Tensor<double, Batch<dyn>, Time<dyn>, Cols>(p, c.batch, c.time); };
  const auto stat = [&](auto* p) {
    return Tensor<std::remove_pointer_t<decltype(p)>, Batch<dyn>, Time<dyn>, PerHead<Q + KV>>(p, c.batch, c.time);
  };
  const auto vector = [](auto* p) { return Tensor<std::remove_pointer_t<decltype(p)>, HeadDim<D>>(p); };
  const auto table = [](auto* p) { return Tensor<const std::remove_pointer_t<decltype(p)>, Ctx<N>, HeadDim<D>>(p); };
  const Tensor<const double, Heads, Cols> w(identity.data());

  gpu::qkv_rows(ctx, rows(y.gpu()), rows(raw.gpu()), stat(rstd.gpu()), vector(q_norm.gpu()), vector(k_norm.gpu()),
                table(rope.gpu()), FirstPosition(first.data()), 0.02);
  reference::qkv(exact, rows(y.exact()), rows(raw.exact()), stat(rstd.exact()), x_rows(projection.exact()), w, {},
                 vector(q_norm.exact()), vector(k_norm.exact()), table(rope.exact()), FirstPosition(positions.data()),
                 0.02);
  CHECK(y.error() <= tolerance<E>(D));
  CHECK(rstd.error() <= tolerance<float>(D));
  CHECK(raw.error() == 0);

  // The statistics are the gpu's own, so that only the backward pass' rounding is seen.
  std::vector<double> r = rstd.from_gpu();
  gpu::qkv_rows_backward(ctx, vector(d_q_norm.gpu()), vector(d_k_norm.gpu()), rows(d.gpu()), rows(raw.gpu()),
                         stat(rstd.gpu()), vector(q_norm.gpu()), vector(k_norm.gpu()), table(rope.gpu()));
  reference::qkv_backward(exact, x_rows(d_x.data()), Tensor<double, Heads, Cols>(d_identity.data()), {},
                          vector(d_q_norm.exact()), vector(d_k_norm.exact()), rows(d.exact()),
                          x_rows(projection.exact()), w, rows(raw.exact()), stat(r.data()), vector(q_norm.exact()),
                          vector(k_norm.exact()), table(rope.exact()));
  CHECK(d.error() <= tolerance<E>(D));
  CHECK(d_q_norm.error() <= tolerance<float>(static_cast<double>(tokens) * Q + D));
  CHECK(d_k_norm.error() <= tolerance<float>(static_cast<double>(tokens) * KV + D));
}

template <class E> void sweep(unsigned seed) {
  const auto one = [&]<int Q, int KV, int D>() {
    const int count = std::max(4, test::shapes() / 8);
    for (int i = 0; i < count; ++i, seed += 20) {
      const auto draw = whole(3, 1 << 20, seed);
      const bool rope = D % 2 == 0 && i % 3 != 2;
      const int time = i == 0 ? 1 : 1 + draw[1] % 40;
      compare<E, Q, KV, D>({1 + draw[0] % (emulated() ? 3 : 30), time, i % 3 != 1, rope, draw[2] % 8, seed});
    }
  };
  one.template operator()<1, 1, 2>();
  one.template operator()<4, 2, 10>();
  one.template operator()<3, 1, 11>();
  one.template operator()<6, 3, 18>();
  one.template operator()<4, 4, 32>();
  one.template operator()<6, 2, 64>();
  one.template operator()<2, 1, 80>();
  one.template operator()<2, 2, 128>();
  one.template operator()<1, 1, 260>();
}

}  // namespace

TEST_CASE("QK-norm and RoPE on a GPU are the reference's, in float") { sweep<float>(1); }
TEST_CASE("QK-norm and RoPE on a GPU are the reference's, in bfloat16") { sweep<bfloat16>(5000); }

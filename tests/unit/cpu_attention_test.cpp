// Attention of the cpu backend against its definition in double precision, and its bits across threads and decoding.
#include <catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include <tinygpt/cpu/flash_attention.hpp>

namespace {

using namespace tinygpt::cpu;
using tinygpt::Dropout;
using Numbers = std::vector<float>;
using Truth = std::vector<double>;

Numbers random_numbers(std::int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Numbers x(static_cast<std::size_t>(count));
  for (float& e : x) e = normal(engine);
  return x;
}

bool same_bits(const Numbers& a, const Numbers& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// sqrt(mean (a - truth)^2 / mean truth^2)
double relative_rms(const Numbers& a, const Truth& truth) {
  double error = 0, size = 1e-30;
  for (std::size_t e = 0; e < truth.size(); ++e) {
    error += (a[e] - truth[e]) * (a[e] - truth[e]);
    size += truth[e] * truth[e];
  }
  return std::sqrt(error / size);
}

struct Results {
  Numbers y, lse, dqkv;
};

struct Problem {
  AttentionShape shape;
  AttentionDropout dropout;
  int group = shape.query_heads / shape.kv_heads;
  std::int64_t dim = shape.head_dim;
  std::int64_t stride = std::int64_t{shape.query_heads + 2 * shape.kv_heads} * dim;
  std::int64_t tokens = shape.batch * shape.time;
  Numbers qkv = random_numbers(tokens * stride, 1);
  Numbers dy = random_numbers(tokens * shape.query_heads * dim, 2);

  Results run(Context& ctx) const {
    Results r{Numbers(dy.size()), Numbers(static_cast<std::size_t>(tokens * shape.query_heads)), Numbers(qkv.size())};
    for (int t = 0; t < ctx.threads(); ++t) {
      std::fill_n(ctx.scratch(t), ctx.scratch_size(), std::numeric_limits<float>::quiet_NaN());
    }
    attention_forward(ctx, r.y.data(), r.lse.data(), qkv.data(), shape, dropout);
    attention_backward(ctx, r.dqkv.data(), dy.data(), r.y.data(), r.lse.data(), qkv.data(), shape, dropout);
    return r;
  }

  struct Exact {
    Truth y, lse, dqkv;
  };

  /// The definition, with the row of weights written out.
  Exact exact() const {
    Exact out{Truth(dy.size()), Truth(static_cast<std::size_t>(tokens * shape.query_heads)), Truth(qkv.size())};
    for (std::int64_t b = 0; b < shape.batch; ++b) {
      for (int h = 0; h < shape.query_heads; ++h) {
        for (std::int64_t i = 0; i < shape.time; ++i) exact_row(out, b, h, i);
      }
    }
    return out;
  }

  void exact_row(Exact& out, std::int64_t b, int h, std::int64_t i) const {
    const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
    const auto q_at = [&](std::int64_t t) { return (b * shape.time + t) * stride + h * dim; };
    const auto k_at = [&](std::int64_t t) {
      return (b * shape.time + t) * stride + (shape.query_heads + h / group) * dim;
    };
    const auto v_at = [&](std::int64_t t) { return k_at(t) + shape.kv_heads * dim; };
    const std::int64_t row = (b * shape.time + i) * shape.query_heads + h;
    const auto dot = [&](const Numbers& x, std::int64_t x_at, const Numbers& z, std::int64_t z_at) {
      double sum = 0;
      for (std::int64_t d = 0; d < dim; ++d) {
        sum += double{x[static_cast<std::size_t>(x_at + d)]} * z[static_cast<std::size_t>(z_at + d)];
      }
      return sum;
    };
    const auto add = [&](Truth& to, std::int64_t at, double factor, const Numbers& x, std::int64_t x_at) {
      for (std::int64_t d = 0; d < dim; ++d) {
        to[static_cast<std::size_t>(at + d)] += factor * x[static_cast<std::size_t>(x_at + d)];
      }
    };
    Truth p(static_cast<std::size_t>(i + 1)), mask(p.size(), 1.0), dp(p.size());
    double sum = 0, delta = 0;
    for (std::int64_t j = 0; j <= i; ++j)
      sum += p[static_cast<std::size_t>(j)] = std::exp(scale * dot(qkv, q_at(i), qkv, k_at(j)));
    out.lse[static_cast<std::size_t>(row)] = std::log(sum);
    for (std::int64_t j = 0; j <= i; ++j) {
      const auto e = static_cast<std::size_t>(j);
      p[e] /= sum;
      if (dropout.mask) {
        const bool kept = dropout.mask.keeps((b * shape.query_heads + h) * dropout.width + i, j, dropout.width);
        mask[e] = kept ? double{dropout.mask.scale()} : 0.0;
      }
      dp[e] = mask[e] * dot(dy, row * dim, qkv, v_at(j));
      delta += p[e] * dp[e];
      add(out.y, row * dim, mask[e] * p[e], qkv, v_at(j));
      add(out.dqkv, v_at(j), mask[e] * p[e], dy, row * dim);
    }
    for (std::int64_t j = 0; j <= i; ++j) {
      const auto e = static_cast<std::size_t>(j);
      const double ds = p[e] * (dp[e] - delta) * scale;
      add(out.dqkv, q_at(i), ds, qkv, k_at(j));
      add(out.dqkv, k_at(j), ds, qkv, q_at(i));
    }
  }
};

/// Scores of normal random vectors are below 8, and an error of 8 units of roundoff in a score is one in its weight;
/// the other sums' errors add up as random walks. So a dozen roundoffs, and twice that for the gradient.
constexpr double tolerance = 12.0 / (1 << 24);

constexpr std::pair<int, int> head_counts[] = {{1, 1}, {4, 2}, {6, 1}};

TEST_CASE("Attention and its gradient are right within roundoff, and have the same bits at any number of threads") {
  Context one{1}, two{2}, four{4};
  for (const std::int64_t batch : {1, 3}) {
    for (const std::int64_t time : {1, 2, 17, 63, 64, 65, 130, 300}) {
      for (const int dim : {1, 5, 16, 48, 80, 130}) {
        if (time == 300 && (batch != 1 || dim != 48)) continue;
        for (const auto& [query_heads, kv_heads] : head_counts) {
          for (const bool drop : {false, true}) {
            INFO("B " << batch << " T " << time << " Dh " << dim << " heads " << query_heads << "/" << kv_heads
                      << " dropout " << drop);
            const AttentionDropout dropout{drop ? Dropout{20000, 5, 77, 3} : Dropout{}, time + 37};
            const Problem problem{{batch, time, query_heads, kv_heads, dim}, dropout};
            const Results results = problem.run(one);
            const Problem::Exact exact = problem.exact();
            CHECK(relative_rms(results.y, exact.y) <= tolerance);
            CHECK(relative_rms(results.lse, exact.lse) <= tolerance);
            CHECK(relative_rms(results.dqkv, exact.dqkv) <= 2 * tolerance);
            for (Context* ctx : {&two, &four}) {
              const Results again = problem.run(*ctx);
              CHECK(same_bits(again.y, results.y));
              CHECK(same_bits(again.lse, results.lse));
              CHECK(same_bits(again.dqkv, results.dqkv));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("Decoding over a cache gives the bits of the whole sequence, however many positions come at once") {
  Context ctx{2};
  for (const int time : {1, 2, 17, 64, 65, 130, 300}) {
    for (const int dim : {1, 5, 16, 48, 80, 130}) {
      for (const auto& [query_heads, kv_heads] : head_counts) {
        const Problem problem{{1, time, query_heads, kv_heads, dim}, {}};
        const Numbers y = problem.run(ctx).y;
        const std::int64_t cache_stride = std::int64_t{kv_heads} * dim, y_stride = std::int64_t{query_heads} * dim;
        for (const int n : {1, 2, 7, 40}) {
          bool same = true;
          // The cache fills up as positions are decoded; what is not yet in it is NaN.
          Numbers k(static_cast<std::size_t>(time * cache_stride), std::numeric_limits<float>::quiet_NaN()), v = k;
          for (int position = 0; position + n <= time; position += n) {
            for (int t = position; t < position + n; ++t) {
              const float* token = problem.qkv.data() + t * problem.stride + y_stride;
              std::copy_n(token, cache_stride, k.data() + t * cache_stride);
              std::copy_n(token + cache_stride, cache_stride, v.data() + t * cache_stride);
            }
            Numbers out(static_cast<std::size_t>(n * y_stride));
            attention_decode(ctx, out.data(), problem.qkv.data() + position * problem.stride, position, k.data(),
                             v.data(), time, {1, n, query_heads, kv_heads, dim});
            same = same && std::memcmp(out.data(), y.data() + position * y_stride, out.size() * sizeof(float)) == 0;
          }
          INFO("T " << time << " Dh " << dim << " heads " << query_heads << "/" << kv_heads << " at once " << n);
          CHECK(same);
        }
      }
    }
  }
}

TEST_CASE("Attention survives scores of any size") {
  Context ctx{2};
  Problem problem{{1, 130, 2, 1, 48}, {}};
  for (float& x : problem.qkv) x *= 1e3f;
  const Results results = problem.run(ctx);
  for (const Numbers* numbers : {&results.y, &results.lse, &results.dqkv}) {
    bool finite = true;
    for (const float x : *numbers) finite = finite && std::isfinite(x);
    CHECK(finite);
  }
}

}  // namespace

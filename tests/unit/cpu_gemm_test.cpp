// Matrix products of the cpu backend: values against double precision, bits across shapes and threads.
#include <catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <tinygpt/cpu/gemm.hpp>

namespace {

using namespace tinygpt::cpu;
using tinygpt::bfloat16;
using Matrix = std::vector<float>;

template <class E> std::vector<E> random_matrix(int rows, int columns, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<E> m(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  for (E& x : m) x = E(uniform(engine));
  return m;
}

template <class E> std::vector<E> transpose_of(const std::vector<E>& m, int rows, int columns) {
  std::vector<E> t(m.size());
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      t[static_cast<std::size_t>(j * rows + i)] = m[static_cast<std::size_t>(i * columns + j)];
    }
  }
  return t;
}

template <class E> bool same_bits(const std::vector<E>& a, const std::vector<E>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(E)) == 0;
}

/// A problem in all four combinations of layouts.
template <class E = float> struct Problem {
  int m, n, k;
  std::vector<E> a = random_matrix<E>(m, k, 1), b = random_matrix<E>(k, n, 2);
  std::vector<E> a_t = transpose_of(a, m, k), b_t = transpose_of(b, k, n);

  Operand<E> left(int layouts) const { return layouts & 1 ? transposed(a_t.data(), m) : as_stored(a.data(), k); }
  Operand<E> right(int layouts) const { return layouts & 2 ? transposed(b_t.data(), k) : as_stored(b.data(), n); }

  template <class C = float> std::vector<C> product(Context& ctx, int layouts) const {
    std::vector<C> c(static_cast<std::size_t>(m * n), C(7.0f));
    gemm(ctx, m, n, k, left(layouts), right(layouts), c.data(), n);
    return c;
  }

  /// Largest error over its bound: each element is a sum of k products and of k / 256 partial sums, each rounded once.
  double error_over_bound(const Matrix& c) const {
    const double u = std::ldexp(1.0, -24);
    const double terms = std::min(k, 256) + k / 256 + 2;
    double worst = 0;
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        double sum = 0, size = 0;
        for (int p = 0; p < k; ++p) {
          const double term = static_cast<double>(static_cast<float>(a[static_cast<std::size_t>(i * k + p)])) *
                              static_cast<double>(static_cast<float>(b_t[static_cast<std::size_t>(j * k + p)]));
          sum += term;
          size += std::abs(term);
        }
        worst = std::max(worst, std::abs(c[static_cast<std::size_t>(i * n + j)] - sum) / (terms * u * size));
      }
    }
    return worst;
  }
};

TEMPLATE_TEST_CASE("A matrix product is right within roundoff in all layouts", "", float, bfloat16) {
  Context ctx{3};
  for (const int m : {2, 17, 31, 130, 400}) {
    for (const int n : {1, 16, 31, 130}) {
      for (const int k : {1, 3, 256, 257, 600}) {
        if (std::int64_t{m} * n * k > 4'000'000) continue;
        const Problem<TestType> problem{m, n, k};
        INFO("m " << m << " n " << n << " k " << k);
        for (int layouts = 0; layouts < 4; ++layouts)
          CHECK(problem.error_over_bound(problem.product(ctx, layouts)) <= 1.0);
      }
    }
  }
}

TEMPLATE_TEST_CASE("A matrix product is right within roundoff and has the same bits in all layouts and thread counts",
                   "[own]", float, bfloat16) {
  Context one{1}, two{2}, four{4};
  for (const int m : {1, 2, 11, 12, 13, 37, 200, 400}) {
    for (const int n : {1, 5, 16, 17, 31, 33, 130, 300}) {
      for (const int k : {1, 3, 17, 255, 256, 257, 600}) {
        const Problem<TestType> problem{m, n, k};
        const Matrix expected = problem.product(one, 0);
        INFO("m " << m << " n " << n << " k " << k);
        if (std::int64_t{m} * n * k <= 4'000'000) CHECK(problem.error_over_bound(expected) <= 1.0);
        for (int layouts = 0; layouts < 4; ++layouts) {
          if (layouts != 0) CHECK(same_bits(problem.product(one, layouts), expected));
          CHECK(same_bits(problem.product(two, layouts), expected));
          CHECK(same_bits(problem.product(four, layouts), expected));
        }
        // Rounded once, when it is whole.
        if constexpr (sizeof(TestType) == 2) {
          std::vector<bfloat16> rounded;
          for (const float x : expected) rounded.push_back(bfloat16(x));
          for (int layouts = 0; layouts < 4; ++layouts) {
            CHECK(same_bits(problem.template product<bfloat16>(two, layouts), rounded));
          }
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("A row computed alone has the bits that it has among 2048", "[own]", float, bfloat16) {
  constexpr int rows = 2048, columns = 200, depth = 700;
  Context ctx{2};
  const Problem<TestType> problem{rows, columns, depth};
  const Matrix all = problem.product(ctx, 2);
  Matrix row(columns);
  for (int i = 0; i < rows; i += 97) {
    gemm(ctx, 1, columns, depth, as_stored(problem.a.data() + i * depth, depth), problem.right(2), row.data(), columns);
    CHECK(std::memcmp(row.data(), all.data() + i * columns, columns * sizeof(float)) == 0);
  }
}

TEMPLATE_TEST_CASE("A row times weights of many megabytes, in several tasks for each thread, has the same bits",
                   "[own]", float, bfloat16) {
  constexpr int rows = 20, columns = 4111, depth = 2051;  // 17 and 34 MB
  static_assert(rows > few_rows);
  Context ctx{2}, many{5};
  const Problem<TestType> problem{rows, columns, depth};
  const Matrix all = problem.product(ctx, 2);
  Matrix row(columns);
  for (Context* threads : {&ctx, &many}) {
    gemm(*threads, 1, columns, depth, as_stored(problem.a.data() + 7 * depth, depth), problem.right(2), row.data(),
         columns);
    CHECK(std::memcmp(row.data(), all.data() + 7 * columns, columns * sizeof(float)) == 0);
  }
}

TEST_CASE("A product that accumulates adds to what is there, and writes nothing outside of its columns") {
  constexpr int m = 29, n = 45, k = 300, stride = 50;
  Context ctx{2};
  const Problem<> problem{m, n, k};
  const Matrix product = problem.product(ctx, 3);
  Matrix c(m * stride, 3.0f);
  gemm(ctx, m, n, k, problem.left(3), problem.right(3), c.data(), stride, Accumulate::yes);
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < stride; ++j) {
      const float got = c[static_cast<std::size_t>(i * stride + j)];
      if (j >= n) {
        CHECK(got == 3.0f);
      } else {
        // Two more additions, of numbers below k + 3.
        CHECK(got == Approx(3.0f + product[static_cast<std::size_t>(i * n + j)]).margin(3 * std::ldexp(k + 3.0, -24)));
      }
    }
  }
}

TEST_CASE("The epilogue sees every element of the output once, finished") {
  constexpr int m = 70, n = 333, k = 520;
  Context ctx{4};
  const Problem<> problem{m, n, k};
  const Matrix product = problem.product(ctx, 2);
  Matrix c(m * n), copy(m * n, 0.0f);
  gemm(ctx, m, n, k, problem.left(2), problem.right(2), c.data(), n, Accumulate::no,
       [&](std::int64_t row, std::int64_t begin, std::int64_t end, float* segment) {
         for (std::int64_t j = begin; j < end; ++j) {
           copy[static_cast<std::size_t>(row * n + j)] += segment[j - begin];
           segment[j - begin] += 1.0f;
         }
       });
  CHECK(same_bits(copy, product));
  bool all = true;
  for (std::size_t e = 0; e < c.size(); ++e) all = all && c[e] == product[e] + 1.0f;
  CHECK(all);
}

TEST_CASE("A product over an empty sum is zero, and one without rows or columns does nothing") {
  Context ctx{1};
  Matrix c(6, 5.0f);
  gemm(ctx, 2, 3, 0, as_stored<float>(nullptr, 0), as_stored<float>(nullptr, 3), c.data(), 3, Accumulate::yes);
  CHECK(c == Matrix(6, 5.0f));
  gemm(ctx, 2, 3, 0, as_stored<float>(nullptr, 0), as_stored<float>(nullptr, 3), c.data(), 3);
  CHECK(c == Matrix(6, 0.0f));
  gemm(ctx, 0, 3, 4, as_stored<float>(nullptr, 4), as_stored<float>(nullptr, 3), static_cast<float*>(nullptr), 3);
}

}  // namespace

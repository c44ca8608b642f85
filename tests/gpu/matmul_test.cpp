// Matrix products on the device against sums in double, over layouts, strides and shapes.
#include <on_device.hpp>

#include <catch.hpp>
#include <filesystem>
#include <limits>
#include <random>
#include <tinygpt/gpu/matmul.cuh>

using namespace tinygpt;
using namespace tinygpt::test;

namespace {

struct Shape {
  std::int64_t m, n, k;
};

std::vector<Shape> random_shapes(unsigned seed) {
  std::vector<Shape> shapes{{1, 1, 1}, {1, 7, 64}, {64, 1, 3}, {128, 64, 32}, {33, 257, 65}};
  std::mt19937 bits(seed);
  std::uniform_int_distribution<std::int64_t> extent(1, emulated() ? 80 : 700);
  while (static_cast<int>(shapes.size()) < test::shapes()) shapes.push_back({extent(bits), extent(bits), extent(bits)});
  return shapes;
}

/// Rows of `width` numbers at every `stride`, with NaN between them.
std::vector<double> apart(const std::vector<double>& dense, std::int64_t width, std::int64_t stride) {
  std::vector<double> wide(dense.size() / static_cast<std::size_t>(width) * static_cast<std::size_t>(stride),
                           std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < dense.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(width), column = i % static_cast<std::size_t>(width);
    wide[row * static_cast<std::size_t>(stride) + column] = dense[i];
  }
  return wide;
}

template <class E, class Y>
void compare(gpu::Context<E>& ctx, Shape s, gpu::Layout a_layout, gpu::Layout b_layout, gpu::Accumulate accumulate,
             bool bias, std::int64_t spread, unsigned seed) {
  INFO(s.m << " x " << s.n << " x " << s.k << ", seed " << seed << ", rows " << spread << " further apart");
  const auto whole = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const bool a_turned = a_layout == gpu::Layout::transposed, b_turned = b_layout == gpu::Layout::transposed;
  const std::int64_t a_width = a_turned ? s.m : s.k, b_width = b_turned ? s.k : s.n;
  const std::vector<double> a = as<double>(as<E>(normal(whole(s.m * s.k), seed)));
  const std::vector<double> b = as<double>(as<E>(normal(whole(s.k * s.n), seed + 1)));
  const std::vector<double> before = as<double>(as<Y>(normal(whole(s.m * s.n), seed + 2)));
  const std::vector<double> row = as<double>(as<E>(normal(whole(s.n), seed + 3)));

  std::vector<double> expected(before.size());
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum =
          (accumulate == gpu::Accumulate::yes ? before[whole(i * s.n + j)] : 0.0) + (bias ? row[whole(j)] : 0.0);
      for (std::int64_t p = 0; p < s.k; ++p) {
        sum += a[whole(a_turned ? p * a_width + i : i * a_width + p)] *
               b[whole(b_turned ? j * b_width + p : p * b_width + j)];
      }
      expected[whole(i * s.n + j)] = sum;
    }
  }

  const OnDevice<E> a_device(as<E>(apart(a, a_width, a_width + spread)));
  const OnDevice<E> b_device(as<E>(apart(b, b_width, b_width + spread)));
  const OnDevice<E> bias_device(bias ? as<E>(row) : std::vector<E>{});
  const OnDevice<Y> y(as<Y>(accumulate == gpu::Accumulate::yes
                                ? apart(before, s.n, s.n + spread)
                                : apart(std::vector<double>(before.size(), std::nan("")), s.n, s.n + spread)));
  matmul(ctx, s.m, s.n, s.k, gpu::Operand<E>{a_device.data(), a_width + spread, a_layout},
         gpu::Operand<E>{b_device.data(), b_width + spread, b_layout}, y.data(), s.n + spread, accumulate,
         static_cast<const E*>(bias_device.data()));

  const std::vector<double> wide = as<double>(y.host());
  std::vector<double> actual(expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    actual[i] = wide[i / whole(s.n) * whole(s.n + spread) + i % whole(s.n)];
  }
  CHECK(relative_error(actual, expected) <= tolerance<Y>(static_cast<double>(s.k) + 2));
  bool between_untouched = true;
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (i % whole(s.n + spread) >= whole(s.n)) between_untouched = between_untouched && std::isnan(wide[i]);
  }
  CHECK(between_untouched);
}

}  // namespace

TEMPLATE_TEST_CASE("Products in every layout are the sums, rounded once", "[gpu]", float, bfloat16) {
  gpu::Context<TestType> ctx;
  unsigned seed = 1;
  for (const Shape& shape : random_shapes(7)) {
    for (auto a : {gpu::Layout::as_stored, gpu::Layout::transposed}) {
      for (auto b : {gpu::Layout::as_stored, gpu::Layout::transposed}) {
        seed += 10;
        compare<TestType, TestType>(ctx, shape, a, b, gpu::Accumulate::no, seed % 20 == 1, seed % 3, seed);
      }
    }
  }
}

TEMPLATE_TEST_CASE("Products are added to floats, whatever they are of", "[gpu]", float, bfloat16) {
  gpu::Context<TestType> ctx;
  unsigned seed = 5;
  for (const Shape& shape : random_shapes(8)) {
    seed += 10;
    compare<TestType, float>(ctx, shape, gpu::Layout::transposed, gpu::Layout::as_stored, gpu::Accumulate::yes, false,
                             seed % 2 * 3, seed);
  }
}

TEMPLATE_TEST_CASE("A product at odd addresses is right, and does not take the algorithm of even ones", "[gpu]", float,
                   bfloat16) {
  gpu::Context<TestType> ctx;
  using E = TestType;
  constexpr std::int64_t m = 24, n = 40, k = 56;
  const std::vector<double> a = as<double>(as<E>(normal(m * k + 1, 3))), b = as<double>(as<E>(normal(n * k + 1, 4)));
  const OnDevice<E> a_device(as<E>(a)), b_device(as<E>(b)), y(std::vector<E>(m * n + 1, E(0.0f)));
  for (int odd : {0, 1}) {
    std::vector<double> expected(m * n);
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        for (int p = 0; p < k; ++p) {
          expected[static_cast<std::size_t>(i * n + j)] +=
              a[static_cast<std::size_t>(i * k + p + odd)] * b[static_cast<std::size_t>(j * k + p + odd)];
        }
      }
    }
    matmul(ctx, m, n, k, gpu::as_stored(a_device.data() + odd, k), gpu::transposed(b_device.data() + odd, k),
           y.data() + odd, n);
    std::vector<double> actual = as<double>(y.host());
    actual = odd == 1 ? std::vector(actual.begin() + 1, actual.end()) : std::vector(actual.begin(), actual.end() - 1);
    CHECK(relative_error(actual, expected) <= tolerance<E>(k));
  }
}

TEMPLATE_TEST_CASE("Plans that were timed are found again, and give the same bits", "[gpu]", float, bfloat16) {
  using E = TestType;
  cudaDeviceProp device;
  gpu::check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  std::string folder = (std::filesystem::temp_directory_path() / "tinygpt-plans-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::int64_t m = 64, n = emulated() ? 48 : 2304, k = emulated() ? 100 : 768;
  const OnDevice<E> x(as<E>(normal(static_cast<std::size_t>(m * k), 1))),
      w(as<E>(normal(static_cast<std::size_t>(n * k), 2)));
  const std::vector<float> zeros(static_cast<std::size_t>(m * n));
  OnDevice<float> y(zeros);
  const gpu::Product product{m,
                             n,
                             k,
                             gpu::Layout::as_stored,
                             gpu::Layout::transposed,
                             k,
                             k,
                             n,
                             gpu::number_of<E>,
                             gpu::Number::float32,
                             gpu::Accumulate::yes,
                             gpu::Bias::none,
                             16,
                             16,
                             16,
                             16};
  const auto run = [&] {
    gpu::MatmulEngine engine(device, folder);
    y.assign(zeros);
    engine.run(product, x.data(), w.data(), y.data(), nullptr, nullptr);
    std::vector<float> first = y.host();
    y.assign(zeros);
    engine.run(product, x.data(), w.data(), y.data(), nullptr, nullptr);
    CHECK(y.host() == first);
    return first;
  };
  const std::vector<float> timed = run();
  CHECK(run() == timed);
  std::filesystem::remove_all(folder);
}

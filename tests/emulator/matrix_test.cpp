// ldmatrix and mma against what the PTX ISA writes about them, and against a plain product of matrices.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

#include "catch.hpp"
#include "numbers.hpp"

using namespace tinygpt;
using namespace tinygpt::gpu;

namespace {

struct Matrices {
  alignas(16) std::uint16_t element[4][8][8];
};

/// Element (i, j) of matrix m is 100 m + 10 i + j. Rows lie in shared memory in an order that only the addresses know.
template <int Count, bool Transposed> __global__ void load_matrices(std::uint32_t* out) {
  auto& shared = shared_memory<Matrices>();
  const int lane = lane_id();
  auto* const rows = shared.element[0];
  const int place = (lane * 5 + 3) % 32;
  for (int j = 0; j < 8; ++j) rows[place][j] = static_cast<std::uint16_t>(100 * (lane / 8) + 10 * (lane % 8) + j);
  __syncwarp();
  std::uint32_t r[Count];
  if constexpr (Count == 4 && Transposed) ldmatrix_x4_trans(r, rows[place]);
  if constexpr (Count == 4 && !Transposed) ldmatrix_x4(r, rows[place]);
  if constexpr (Count == 2 && Transposed) ldmatrix_x2_trans(r, rows[place]);
  if constexpr (Count == 2 && !Transposed) ldmatrix_x2(r, rows[place]);
  for (int m = 0; m < Count; ++m) out[m * 32 + lane] = r[m];
}

template <int Count, bool Transposed> void loads_matrices() {
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    std::vector<std::uint32_t> out(Count * 32);
    launch<load_matrices<Count, Transposed>>(Grid{1, 32, sizeof(Matrices)}, out.data());
    for (unsigned m = 0; m < Count; ++m) {
      for (unsigned lane = 0; lane < 32; ++lane) {
        const unsigned a = lane / 4, b = lane % 4 * 2;
        const unsigned low = Transposed ? 10 * b + a : 10 * a + b, high = Transposed ? low + 10 : low + 1;
        CHECK(out[m * 32 + lane] == ((100 * m + low) | (100 * m + high) << 16));
      }
    }
  }
}

TEST_CASE("ldmatrix hands each lane the two elements that the PTX ISA says") {
  loads_matrices<2, false>();
  loads_matrices<2, true>();
  loads_matrices<4, false>();
  loads_matrices<4, true>();
}

/// Row after row of bfloat16, as in memory.
using Matrix = std::vector<bfloat16>;

Matrix random_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  const auto x = test::normal(rows * cols, seed);
  Matrix m(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) m[i] = bfloat16(static_cast<float>(x[i]));
  return m;
}

/// d = c + a b in double, a is M x K, b is K x N; and the roundoff of a float sum in any order.
struct Product {
  std::vector<double> d, tolerance;

  Product(const std::vector<float>& c, const Matrix& a, const Matrix& b, std::size_t m, std::size_t n, std::size_t k)
      : d(m * n), tolerance(m * n) {
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        double sum = static_cast<double>(c[i * n + j]), size = std::abs(sum);
        for (std::size_t l = 0; l < k; ++l) {
          const double term = static_cast<double>(static_cast<float>(a[i * k + l])) * static_cast<float>(b[l * n + j]);
          sum += term;
          size += std::abs(term);
        }
        d[i * n + j] = sum;
        tolerance[i * n + j] = static_cast<double>(k) * 0x1p-23 * size;
      }
    }
  }

  bool is(const std::vector<float>& actual) const {
    for (std::size_t i = 0; i < d.size(); ++i) {
      if (!(std::abs(static_cast<double>(actual[i]) - d[i]) <= tolerance[i])) return false;
    }
    return true;
  }
};

__device__ std::uint32_t pair(bfloat16 first, bfloat16 second) {
  return first.bits | static_cast<std::uint32_t>(second.bits) << 16;
}

/// Fragments written out element by element, from the figures of the PTX ISA for mma.m16n8k16 (.bf16).
__global__ void multiply_by_hand(float* d, const bfloat16* a, const bfloat16* b) {
  const int g = lane_id() / 4, t = lane_id() % 4;
  const auto a_pair = [&](int row, int col) { return pair(a[row * 16 + col], a[row * 16 + col + 1]); };
  const auto b_pair = [&](int row, int col) { return pair(b[row * 8 + col], b[(row + 1) * 8 + col]); };
  const std::uint32_t a_fragment[4] = {a_pair(g, 2 * t), a_pair(g + 8, 2 * t), a_pair(g, 2 * t + 8),
                                       a_pair(g + 8, 2 * t + 8)};
  const std::uint32_t b_fragment[2] = {b_pair(2 * t, g), b_pair(2 * t + 8, g)};
  float* const upper = d + g * 8 + 2 * t;
  float* const lower = d + (g + 8) * 8 + 2 * t;
  float sum[4] = {upper[0], upper[1], lower[0], lower[1]};
  mma_m16n8k16(sum, a_fragment, b_fragment);
  upper[0] = sum[0];
  upper[1] = sum[1];
  lower[0] = sum[2];
  lower[1] = sum[3];
}

TEST_CASE("mma of fragments that were written by hand is the product of the matrices, added to what was there") {
  for (unsigned seed = 0; seed < 5; ++seed) {
    const Matrix a = random_matrix(16, 16, 2 * seed), b = random_matrix(16, 8, 2 * seed + 1);
    const auto start = test::normal(16 * 8, seed + 100);
    std::vector<float> d(start.begin(), start.end());
    const Product expected(d, a, b, 16, 8, 16);
    launch<multiply_by_hand>(Grid{1, 32}, d.data(), a.data(), b.data());
    CHECK(expected.is(d));
  }
}

// A tile of a real product: rows of 40 elements are 80 bytes, so neighbouring rows lie in different banks.
constexpr int tile_rows = 64, tile_cols = 32, tile_depth = 32, padded = 40;

struct ProductShared {
  alignas(16) bfloat16 a[tile_rows][padded];   // m x k
  alignas(16) bfloat16 b[tile_depth][padded];  // k x n
};

/// d (m, n) = a (m, k) b (k, n): four warps, each 16 rows of a tile; tiles arrive by cp.async, fragments by ldmatrix.
__global__ void __launch_bounds__(128) product(float* d, const bfloat16* a, const bfloat16* b, int n, int k) {
  auto& shared = shared_memory<ProductShared>();
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * tile_rows;
  const int first_col = static_cast<int>(blockIdx.x) * tile_cols;
  const int lane = lane_id(), warp = warp_id(), thread = static_cast<int>(threadIdx.x);
  float sum[tile_cols / 8][4] = {};
  for (int at = 0; at < k; at += tile_depth) {
    for (int i = thread; i < tile_rows * tile_depth / 8; i += 128) {
      const int row = i / (tile_depth / 8), col = i % (tile_depth / 8) * 8;
      cp_async_16(&shared.a[row][col], a + (first_row + row) * k + at + col);
    }
    for (int i = thread; i < tile_depth * tile_cols / 8; i += 128) {
      const int row = i / (tile_cols / 8), col = i % (tile_cols / 8) * 8;
      cp_async_16(&shared.b[row][col], b + static_cast<std::int64_t>(at + row) * n + first_col + col);
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int depth = 0; depth < tile_depth; depth += 16) {
      std::uint32_t a_fragment[4];
      ldmatrix_x4(a_fragment, &shared.a[warp * 16 + lane % 16][depth + lane / 16 * 8]);
#pragma unroll
      for (int col = 0; col < tile_cols; col += 16) {
        std::uint32_t b_fragments[4];
        ldmatrix_x4_trans(b_fragments, &shared.b[depth + lane % 16][col + lane / 16 * 8]);
        mma_m16n8k16(sum[col / 8], a_fragment, {b_fragments[0], b_fragments[1]});
        mma_m16n8k16(sum[col / 8 + 1], a_fragment, {b_fragments[2], b_fragments[3]});
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int col = 0; col < tile_cols; col += 8) {
    for (int half = 0; half < 2; ++half) {
      float* const out = d + (first_row + warp * 16 + lane / 4 + half * 8) * n + first_col + col + lane % 4 * 2;
      out[0] = sum[col / 8][2 * half];
      out[1] = sum[col / 8][2 * half + 1];
    }
  }
}

TEST_CASE(
    "a tiled product by cp.async, ldmatrix and mma is the product of the matrices, the same bits in every order") {
  const std::size_t m = 128, n = 64, k = 96;
  const Matrix a = random_matrix(m, k, 1), b = random_matrix(k, n, 2);
  const Product expected(std::vector<float>(m * n), a, b, m, n, k);
  std::vector<float> first;
  for (const emulator::Order& order : emulator::several_orders) {
    const emulator::WithOrder with(order);
    std::vector<float> d(m * n, NAN);
    launch<product>(Grid{dim3(n / tile_cols, m / tile_rows), 128, sizeof(ProductShared)}, d.data(), a.data(), b.data(),
                    static_cast<int>(n), static_cast<int>(k));
    CHECK(expected.is(d));
    if (first.empty()) first = d;
    CHECK(std::memcmp(first.data(), d.data(), d.size() * sizeof(float)) == 0);
  }
}

struct Barely {
  alignas(16) bfloat16 element[8];
};

__global__ void load_beyond() {
  std::uint32_t r[4];
  ldmatrix_x4(r, shared_memory<Barely>().element + 8 * lane_id());
}

__global__ void load_askew() {
  std::uint32_t r[4];
  ldmatrix_x4(r, shared_memory<Matrices>().element[0][0] + lane_id() / 31);
}

TEST_CASE("rows that ldmatrix cannot load are refused") {
  CHECK_THROWS_WITH(
      launch<load_beyond>(Grid{1, 32, sizeof(Barely)}),
      Catch::Contains("thread 1 gives ldmatrix an address outside the block's 16 bytes of shared memory"));
  CHECK_THROWS_WITH(launch<load_askew>(Grid{1, 32, sizeof(Matrices)}),
                    Catch::Contains("thread 31 gives ldmatrix an address that is not a multiple of 16"));
}

}  // namespace

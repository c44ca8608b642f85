// What this card can do at most, measured: a large copy within its memory, and large matrix products by cuBLASLt. Shares
// of these are fairer to a card than shares of a datasheet's numbers.
#include <timing.cuh>

#include <tinygpt/gpu/matmul.cuh>
#include <tinygpt/gpu/transfer.cuh>
#include <tinygpt/ops/random.hpp>

namespace {

using namespace tinygpt;

/// Random numbers, as products of zeros run faster.
template <class E>
gpu::DeviceMemory random_matrix(gpu::Context<E>& ctx, std::int64_t size, std::uint64_t seed) {
  gpu::DeviceMemory memory(size * static_cast<std::int64_t>(sizeof(E)));
  std::vector<E> numbers(static_cast<std::size_t>(std::min<std::int64_t>(size, 1 << 22)));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto bits = random_bits(seed, Purpose::training_batch, i, 0);
    numbers[i] = static_cast<E>(static_cast<float>(bits[0] >> 40) / 16777216.0f - 0.5f);
  }
  for (std::int64_t at = 0; at < size; at += static_cast<std::int64_t>(numbers.size())) {
    const auto n = static_cast<std::size_t>(std::min<std::int64_t>(size - at, static_cast<std::int64_t>(numbers.size())));
    gpu::copy_in(ctx, reinterpret_cast<E*>(memory.data()) + at, std::span<const E>(numbers.data(), n));
  }
  return memory;
}

template <class E>
void product(gpu::Context<E>& ctx, const char* type, std::int64_t m, std::int64_t n, std::int64_t k) {
  auto a = random_matrix(ctx, m * k, 1), b = random_matrix(ctx, k * n, 2);
  gpu::DeviceMemory y(m * n * static_cast<std::int64_t>(sizeof(E)));
  const auto first = reinterpret_cast<const E*>(a.data()), second = reinterpret_cast<const E*>(b.data());
  const double seconds = bench::seconds_on(ctx.stream(), 15, [&] {
    gpu::matmul(ctx, m, n, k, gpu::as_stored(first, k), gpu::transposed(second, k), reinterpret_cast<E*>(y.data()), n);
  });
  bench::Result("ceiling", std::string("product ") + type + " " + std::to_string(m) + "x" + std::to_string(n) + "x" +
                               std::to_string(k))
      .add("flops", 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / seconds)
      .add("seconds", seconds)
      .print();
}

void copy(cudaStream_t stream, std::int64_t bytes) {
  gpu::DeviceMemory from(bytes), to(bytes);
  const double seconds = bench::seconds_on(stream, 15, [&] {
    gpu::check(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream),
               "cudaMemcpyAsync");
  });
  bench::Result("ceiling", "copy " + std::to_string(bytes >> 20) + " MiB")
      .add("bytes_per_second", 2.0 * static_cast<double>(bytes) / seconds)  // read and written
      .add("seconds", seconds)
      .print();
}

}  // namespace

int main() {
  try {
    gpu::Context<bfloat16> ctx;
    copy(ctx.stream(), std::int64_t{2} << 30);
    product(ctx, "bf16", 8192, 8192, 8192);
    product(ctx, "bf16", 16384, 3072, 768);  // the products of a GPT that is 768 wide are smaller
    gpu::Context<float> exact;
    product(exact, "float32", 4096, 4096, 4096);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tinygpt-bench-gpu-ceilings: %s\n", error.what());
    return 1;
  }
  return 0;
}

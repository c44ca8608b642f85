// The places of a batch's tokens, ordered by token and then by place: what equal tokens' gradients are summed along.
// A radix sort, least digit first; each digit's pass is stable, so the order is one and the same however blocks run.
#pragma once

#include <bit>

#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/device.cuh>
#include <tinygpt/gpu/launch.cuh>

namespace tinygpt::gpu {

/// Passes over digits of at most 9 bits, as few as a vocabulary needs: two up to 262,144.
struct TokenDigits {
  int passes, bits;

  constexpr explicit TokenDigits(int vocab)
      : passes((total(vocab) + 8) / 9), bits((total(vocab) + passes - 1) / passes) {}

  /// Values of a digit.
  constexpr int count() const { return 1 << bits; }

 private:
  static constexpr int total(int vocab) { return vocab <= 1 ? 1 : std::bit_width(static_cast<unsigned>(vocab - 1)); }
};

inline constexpr int order_threads = 256;
inline constexpr int order_tile = 2048;  ///< places that a block orders
inline constexpr std::int64_t order_tiles(std::int64_t tokens) { return (tokens + order_tile - 1) / order_tile; }

/// Place number i in the order of the passes before; `before` is null before the first.
__device__ __forceinline__ std::int32_t place_at(const std::int32_t* before, std::int64_t i) {
  return before != nullptr ? before[i] : static_cast<std::int32_t>(i);
}

template <int Digits> struct DigitCountShared { int count[Digits]; };

/// counts[tile][digit] = how many tokens of the tile have the digit.
template <int Bits>
__global__ void __launch_bounds__(order_threads)
    digit_count_kernel(int* counts, const std::int32_t* tokens, const std::int32_t* before, std::int64_t size,
                       int shift) {
  constexpr int digits = 1 << Bits;
  auto& shared = shared_memory<DigitCountShared<digits>>();
  for (int d = static_cast<int>(threadIdx.x); d < digits; d += order_threads) shared.count[d] = 0;
  __syncthreads();
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * order_tile;
  for (int i = static_cast<int>(threadIdx.x); i < order_tile; i += order_threads) {
    if (first + i < size) atomicAdd(&shared.count[tokens[place_at(before, first + i)] >> shift & (digits - 1)], 1);
  }
  __syncthreads();
  int* const out = counts + static_cast<std::int64_t>(blockIdx.x) * digits;
  for (int d = static_cast<int>(threadIdx.x); d < digits; d += order_threads) out[d] = shared.count[d];
}

template <int Digits> struct PlaceShared {
  int next[warps<order_threads>][Digits];  ///< where the warp's next token of that digit goes
  int sums[Digits];
};

/// Moves the places of a tile to where the digits before and the same digit's earlier places end. A warp has 256 places
/// side by side, 32 at a time, so that places keep their order.
template <int Bits>
__global__ void __launch_bounds__(order_threads)
    place_kernel(std::int32_t* after, const std::int32_t* tokens, const std::int32_t* before, const int* counts,
                 std::int64_t size, int shift) {
  constexpr int digits = 1 << Bits, share = order_tile / warps<order_threads>;
  auto& shared = shared_memory<PlaceShared<digits>>();
  const auto thread = static_cast<int>(threadIdx.x), tile = static_cast<int>(blockIdx.x);
  const int tiles = static_cast<int>(gridDim.x);
  const std::int64_t first = static_cast<std::int64_t>(tile) * order_tile + warp_id() * share;
  const auto digit_of = [&](std::int64_t i) { return tokens[place_at(before, i)] >> shift & (digits - 1); };

  for (int d = lane_id(); d < digits; d += warp_size) shared.next[warp_id()][d] = 0;
  __syncwarp();
  for (int i = lane_id(); i < share; i += warp_size) {
    if (first + i < size) atomicAdd(&shared.next[warp_id()][digit_of(first + i)], 1);
  }
  for (int d = thread; d < digits; d += order_threads) {
    int sum = 0;
#pragma unroll 4
    for (int t = 0; t < tiles; ++t) sum += counts[static_cast<std::int64_t>(t) * digits + d];
    shared.sums[d] = sum;
  }
  __syncthreads();
  if (warp_id() == 0) {  // sums of the digits before each, 32 digits at a time
    int sum = 0;
    for (int d = lane_id(); d - lane_id() < digits; d += warp_size) {
      const int own = d < digits ? shared.sums[d] : 0;
      int upto = own;
#pragma unroll
      for (int step = 1; step < warp_size; step *= 2) {
        const int other = __shfl_up_sync(full_warp, upto, static_cast<unsigned>(step));
        if (lane_id() >= step) upto += other;
      }
      if (d < digits) shared.sums[d] = sum + upto - own;
      sum += __shfl_sync(full_warp, upto, warp_size - 1);
    }
  }
  __syncthreads();
  for (int d = thread; d < digits; d += order_threads) {
    int at = shared.sums[d];
#pragma unroll 4
    for (int t = 0; t < tile; ++t) at += counts[static_cast<std::int64_t>(t) * digits + d];
    for (int w = 0; w < warps<order_threads>; ++w) {
      const int own = shared.next[w][d];
      shared.next[w][d] = at;
      at += own;
    }
  }
  __syncthreads();
  for (int i = 0; i < share; i += warp_size) {
    const std::int64_t at = first + i + lane_id();
    const bool there = at < size;
    const std::int32_t place = there ? place_at(before, at) : 0;
    const int digit = there ? tokens[place] >> shift & (digits - 1) : 0;
    unsigned same = __ballot_sync(full_warp, there);  // lanes that have the digit, too
#pragma unroll
    for (int bit = 0; bit < Bits; ++bit) {
      const bool set = (digit >> bit & 1) != 0;
      const unsigned lanes = __ballot_sync(full_warp, set);
      same &= set ? lanes : ~lanes;
    }
    const int rank = __popc(same & ((1u << lane_id()) - 1));
    const int to = there ? shared.next[warp_id()][digit] : 0;
    __syncwarp();
    if (there) {
      after[to + rank] = place;
      if (rank == 0) shared.next[warp_id()][digit] = to + __popc(same);
    }
    __syncwarp();
  }
}

/// Bytes of scratch of token_order: two orders and the counts.
constexpr std::int64_t token_order_scratch(std::int64_t tokens, int vocab) {
  return (2 * tokens + order_tiles(tokens) * TokenDigits(vocab).count()) * static_cast<std::int64_t>(sizeof(std::int32_t));
}

/// The places 0 ... size - 1 ordered by tokens[place], equal ones by place; in `scratch`.
template <int V, class E>
const std::int32_t* token_order(Context<E>& ctx, void* scratch, const std::int32_t* tokens, std::int64_t size) {
  constexpr TokenDigits digits(V);
  auto* const orders = static_cast<std::int32_t*>(scratch);
  auto* const counts = orders + 2 * size;
  const auto tiles = static_cast<unsigned>(order_tiles(size));
  const std::int32_t* order = nullptr;
  for (int pass = 0; pass < digits.passes; ++pass) {
    std::int32_t* const after = orders + pass % 2 * size;
    const int shift = pass * digits.bits;
    launch<digit_count_kernel<digits.bits>>(
        Grid{tiles, order_threads, sizeof(DigitCountShared<digits.count()>), ctx.stream()}, counts, tokens, order, size,
        shift);
    launch<place_kernel<digits.bits>>(Grid{tiles, order_threads, sizeof(PlaceShared<digits.count()>), ctx.stream()},
                                       after, tokens, order, counts, size, shift);
    order = after;
  }
  return order;
}

}  // namespace tinygpt::gpu

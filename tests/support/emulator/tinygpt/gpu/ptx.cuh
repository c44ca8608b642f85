// Twin of include/tinygpt/gpu/ptx.cuh for the host: the same functions, by what the PTX ISA says that they do.
//
// Adversarial where the ISA leaves room: the target of an asynchronous copy is NaN from the beginning of the copy until
// its thread waits for it, and only then is the source read.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>
#include <type_traits>

#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::gpu {

namespace detail {

inline void expect_aligned(const void* p, std::size_t alignment, const char* operation) {
  if (reinterpret_cast<std::uintptr_t>(p) % alignment != 0) {
    emulator::Machine::here().fail(std::string(operation) + " an address that is not a multiple of " +
                                   std::to_string(alignment));
  }
}

inline void expect_shared(const void* p, std::size_t bytes, const char* operation) {
  if (!emulator::Machine::here().within_shared(p, bytes)) {
    emulator::Machine::here().fail(std::string(operation) + " an address outside the block's " +
                                   std::to_string(emulator::Machine::here().shared_bytes()) + " bytes of shared memory");
  }
}

/// What a lane brings to ldmatrix: a row, read when the lane arrives; what it takes away: a register per matrix.
struct LoadedMatrix {
  std::uint16_t row[8];
  std::uint32_t registers[4];
};

template <int Matrices, bool Transposed>
void resolve_ldmatrix(emulator::Operands operands) {
  const auto lane_of = [&](int lane) -> LoadedMatrix& { return *static_cast<LoadedMatrix*>(operands[lane]); };
  for (int m = 0; m < Matrices; ++m) {
    const auto at = [&](int i, int j) { return std::uint32_t{lane_of(8 * m + i).row[j]}; };
    for (int lane = 0; lane < 32; ++lane) {
      const int i = lane / 4, j = lane % 4 * 2;
      lane_of(lane).registers[m] = Transposed ? at(j, i) | at(j + 1, i) << 16 : at(i, j) | at(i, j + 1) << 16;
    }
  }
}

template <int Matrices, bool Transposed>
void ldmatrix(const char* name, std::uint32_t* r, const void* shared_row, const std::source_location& place) {
  expect_aligned(shared_row, 16, "gives ldmatrix");
  expect_shared(shared_row, 16, "gives ldmatrix");
  LoadedMatrix lane{};
  if (emulator::lane() < 8 * Matrices) std::memcpy(lane.row, shared_row, 16);
  emulator::Machine::here().meet({name, place, 0xFFFF'FFFFu}, &lane, resolve_ldmatrix<Matrices, Transposed>);
  std::copy_n(lane.registers, Matrices, r);
}

struct Multiplied {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

inline float bf16_at(const std::uint32_t* packed, int r, int half) {
  const std::uint32_t pair = packed[r];
  return __uint_as_float(half == 0 ? pair << 16 : pair & 0xFFFF'0000u);
}

inline void resolve_mma(emulator::Operands operands) {
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<Multiplied*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) {
      for (int half = 0; half < 2; ++half) a[g + r % 2 * 8][2 * t + r / 2 * 8 + half] = bf16_at(own.a, r, half);
    }
    for (int r = 0; r < 2; ++r) {
      for (int half = 0; half < 2; ++half) b[2 * t + r * 8 + half][g] = bf16_at(own.b, r, half);
    }
    for (int i = 0; i < 4; ++i) d[g + i / 2 * 8][2 * t + i % 2] = own.d[i];
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) d[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) static_cast<Multiplied*>(operands[lane])->d[i] = d[g + i / 2 * 8][2 * t + i % 2];
  }
}

}  // namespace detail

template <class V, class E>
V* as_vector(E* p) {
  detail::expect_aligned(p, alignof(V), "accesses as a vector");
  return reinterpret_cast<V*>(p);
}

template <class Shared>
Shared& dynamic_shared() {
  static_assert(alignof(Shared) <= 128);
  emulator::Machine& machine = emulator::Machine::here();
  if (sizeof(Shared) > machine.shared_bytes()) {
    machine.fail("takes " + std::to_string(sizeof(Shared)) + " bytes of shared memory, but its launch gave " +
                 std::to_string(machine.shared_bytes()));
  }
  return *reinterpret_cast<Shared*>(machine.shared());
}

inline std::uint32_t pack_bf16x2(float lo, float hi) {
  return bfloat16(lo).bits | static_cast<std::uint32_t>(bfloat16(hi).bits) << 16;
}

inline float approximate_exp2(float x) { return x < -126.0f ? 0.0f : std::exp2(x); }

inline void cp_async_16(void* shared, const void* global, bool valid = true) {
  detail::expect_aligned(shared, 16, "begins an asynchronous copy to");
  detail::expect_shared(shared, 16, "begins an asynchronous copy to");
  if (valid) {
    detail::expect_aligned(global, 16, "begins an asynchronous copy from");
    if (emulator::Machine::here().overlaps_shared(global, 16)) {
      emulator::Machine::here().fail("begins an asynchronous copy from shared memory: it copies from global memory");
    }
    std::byte readable[16];  // a fault of the address shows here, and not where the thread waits
    std::memcpy(readable, global, 16);
  }
  std::memset(shared, 0xFF, 16);
  emulator::Thread& thread = emulator::Machine::here().current();
  thread.copies.push_back({static_cast<std::byte*>(shared),
                           valid ? static_cast<const std::byte*>(global) : nullptr, thread.groups});
}

inline void cp_async_commit() { ++emulator::Machine::here().current().groups; }

template <int Pending>
void cp_async_wait() {
  emulator::Thread& thread = emulator::Machine::here().current();
  std::erase_if(thread.copies, [&](const emulator::Thread::Copy& copy) {
    if (copy.group >= thread.groups - Pending) return false;
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, 16);
    } else {
      std::memcpy(copy.to, copy.from, 16);
    }
    return true;
  });
}

inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* shared_row,
                        std::source_location place = std::source_location::current()) {
  detail::ldmatrix<4, false>("ldmatrix_x4", r, shared_row, place);
}
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* shared_row,
                              std::source_location place = std::source_location::current()) {
  detail::ldmatrix<4, true>("ldmatrix_x4_trans", r, shared_row, place);
}
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* shared_row,
                        std::source_location place = std::source_location::current()) {
  detail::ldmatrix<2, false>("ldmatrix_x2", r, shared_row, place);
}
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* shared_row,
                              std::source_location place = std::source_location::current()) {
  detail::ldmatrix<2, true>("ldmatrix_x2_trans", r, shared_row, place);
}

inline void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         std::source_location place = std::source_location::current()) {
  detail::Multiplied lane{d, a, b};
  emulator::Machine::here().meet({"mma_m16n8k16", place, 0xFFFF'FFFFu}, &lane, detail::resolve_mma);
}

}  // namespace tinygpt::gpu

// The functions of CUDA C++ that kernels call: barriers, shuffles, votes, atomics, mathematics.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include <emulator/machine.hpp>

namespace emulator {

/// What a lane brings to a shuffle, and what it takes away.
struct Shuffled {
  std::uint64_t value = 0;
  int source = 0;  ///< lane
  bool known = false;
};

inline void resolve_shuffle(Operands operands) {
  std::uint64_t values[32] = {};
  for (int lane = 0; lane < 32; ++lane) {
    if (operands[lane] != nullptr) values[lane] = static_cast<Shuffled*>(operands[lane])->value;
  }
  for (void* operand : operands) {
    if (operand == nullptr) continue;
    auto& lane = *static_cast<Shuffled*>(operand);
    lane.known = operands[lane.source] != nullptr;
    lane.value = values[lane.source];
  }
}

template <class E>
E shuffle(const char* operation, unsigned mask, E value, int source, const std::source_location& place) {
  static_assert(std::is_arithmetic_v<E> && sizeof(E) <= 8, "a shuffle moves numbers of 4 or 8 bytes");
  Shuffled lane{0, source};
  std::memcpy(&lane.value, &value, sizeof value);
  Machine& machine = Machine::here();
  const Meeting meeting{operation, place, mask};
  machine.meet(meeting, &lane, resolve_shuffle);
  if (!lane.known) {
    machine.fail("reads lane " + std::to_string(source) + " in " + meeting.text() + ", which the mask does not name");
  }
  std::memcpy(&value, &lane.value, sizeof value);
  return value;
}

inline int lane() { return static_cast<int>(Machine::here().current().number % 32); }

/// The predicates of the lanes as bits.
inline unsigned ballot(const char* operation, unsigned mask, int predicate, const std::source_location& place) {
  struct Vote {
    int predicate;
    unsigned result;
  } vote{predicate, 0};
  Machine::here().meet({operation, place, mask}, &vote, [](Operands operands) {
    unsigned result = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if (operands[lane] != nullptr && static_cast<Vote*>(operands[lane])->predicate != 0) result |= 1u << lane;
    }
    for (void* operand : operands) {
      if (operand != nullptr) static_cast<Vote*>(operand)->result = result;
    }
  });
  return vote.result;
}

/// All lanes of the mask meet, and each sees what the others did to memory before: unlike a shuffle or a vote, which
/// order no memory.
inline void sync_warp(unsigned mask, const std::source_location& place) {
  struct Lane {
    char arrives, leaves;
  } lane{};
  happens_before(&lane.arrives);
  Machine::here().meet({"__syncwarp", place, mask}, &lane, [](Operands operands) {
    for (void* other : operands) {
      if (other != nullptr) happens_after(&static_cast<Lane*>(other)->arrives);
    }
    for (void* other : operands) {
      if (other != nullptr) happens_before(&static_cast<Lane*>(other)->leaves);
    }
  });
  happens_after(&lane.leaves);
}

/// What a read-modify-write of one number returns: the value before. Whole among the threads of the system, too.
template <class E, class Update> E atomically(E* address, Update update) {
  std::atomic_ref<E> number(*address);
  E before = number.load();
  while (!number.compare_exchange_weak(before, update(before))) {
  }
  return before;
}

}  // namespace emulator

// ---- Barriers

inline void __syncthreads(std::source_location place = std::source_location::current()) {
  emulator::Machine::here().barrier({"__syncthreads", place});
}
inline int __syncthreads_count(int predicate, std::source_location place = std::source_location::current()) {
  return emulator::Machine::here().barrier({"__syncthreads_count", place}, predicate);
}
inline int __syncthreads_or(int predicate, std::source_location place = std::source_location::current()) {
  return emulator::Machine::here().barrier({"__syncthreads_or", place}, predicate) != 0;
}
inline int __syncthreads_and(int predicate, std::source_location place = std::source_location::current()) {
  return emulator::Machine::here().barrier({"__syncthreads_and", place}, predicate == 0) == 0;
}
inline void __syncwarp(unsigned mask = 0xFFFF'FFFFu, std::source_location place = std::source_location::current()) {
  emulator::sync_warp(mask, place);
}
// Memory is one and in order here.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// ---- Shuffles: the lane read from, as the CUDA C++ programming guide has it (section on warp shuffle functions).

template <class E>
E __shfl_sync(unsigned mask, E value, int source, int width = 32,
              std::source_location place = std::source_location::current()) {
  const int lane = emulator::lane();
  return emulator::shuffle("__shfl_sync", mask, value, (lane & ~(width - 1)) | (source & (width - 1)), place);
}
template <class E>
E __shfl_up_sync(unsigned mask, E value, unsigned delta, int width = 32,
                 std::source_location place = std::source_location::current()) {
  const int lane = emulator::lane(), source = lane - static_cast<int>(delta);
  return emulator::shuffle("__shfl_up_sync", mask, value, source < (lane & ~(width - 1)) ? lane : source, place);
}
template <class E>
E __shfl_down_sync(unsigned mask, E value, unsigned delta, int width = 32,
                   std::source_location place = std::source_location::current()) {
  const int lane = emulator::lane(), source = lane + static_cast<int>(delta);
  return emulator::shuffle("__shfl_down_sync", mask, value, source > (lane | (width - 1)) ? lane : source, place);
}
template <class E>
E __shfl_xor_sync(unsigned mask, E value, int lane_mask, int width = 32,
                  std::source_location place = std::source_location::current()) {
  const int lane = emulator::lane(), source = lane ^ lane_mask;
  return emulator::shuffle("__shfl_xor_sync", mask, value, source > (lane | (width - 1)) ? lane : source, place);
}

// ---- Votes

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location place = std::source_location::current()) {
  return emulator::ballot("__ballot_sync", mask, predicate, place);
}
inline int __any_sync(unsigned mask, int predicate, std::source_location place = std::source_location::current()) {
  return emulator::ballot("__any_sync", mask, predicate, place) != 0;
}
inline int __all_sync(unsigned mask, int predicate, std::source_location place = std::source_location::current()) {
  return emulator::ballot("__all_sync", mask, predicate == 0, place) == 0;
}

// ---- Atomics

template <class E>
requires(std::is_same_v<E, float> || std::is_same_v<E, double> || std::is_same_v<E, int> ||
         std::is_same_v<E, unsigned> || std::is_same_v<E, unsigned long long>) E
    atomicAdd(E* address, std::type_identity_t<E> value) {
  return emulator::atomically(address, [=](E before) { return static_cast<E>(before + value); });
}
template <class E>
requires std::is_integral_v<E> E atomicMax(E* address, std::type_identity_t<E> value) {
  return emulator::atomically(address, [=](E before) { return std::max(before, value); });
}
template <class E>
requires std::is_integral_v<E> E atomicMin(E* address, std::type_identity_t<E> value) {
  return emulator::atomically(address, [=](E before) { return std::min(before, value); });
}
template <class E>
requires std::is_integral_v<E> E atomicOr(E* address, std::type_identity_t<E> value) {
  return emulator::atomically(address, [=](E before) { return before | value; });
}
/// Counts up to `most` and begins again at 0.
inline unsigned atomicInc(unsigned* address, unsigned most) {
  return emulator::atomically(address, [=](unsigned before) { return before >= most ? 0 : before + 1; });
}
template <class E> E atomicExch(E* address, std::type_identity_t<E> value) {
  return std::atomic_ref<E>(*address).exchange(value);
}
template <class E>
requires std::is_integral_v<E> E atomicCAS(E* address, std::type_identity_t<E> expected,
                                           std::type_identity_t<E> value) {
  std::atomic_ref<E>(*address).compare_exchange_strong(expected, value);
  return expected;
}

// ---- Memory

template <class E> E __ldg(const E* p) { return *p; }
template <class E> E __ldcg(const E* p) { return *p; }
template <class E> E __ldcs(const E* p) { return *p; }
template <class E> void __stcg(E* p, std::type_identity_t<E> value) { *p = value; }
template <class E> void __stcs(E* p, std::type_identity_t<E> value) { *p = value; }

// ---- Numbers. The host's functions are more exact than the GPU's approximations of the same name.

inline float __expf(float x) { return std::exp(x); }
inline float __exp10f(float x) { return std::pow(10.0f, x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); }
inline void sincospif(float x, float* sine, float* cosine) {
  const double angle = 3.14159265358979323846 * static_cast<double>(x);
  *sine = static_cast<float>(std::sin(angle));
  *cosine = static_cast<float>(std::cos(angle));
}

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(std::uint64_t{x} * y >> 32); }

using std::max;
using std::min;
inline float max(float x, float y) { return std::fmax(x, y); }
inline float min(float x, float y) { return std::fmin(x, y); }
inline double max(double x, double y) { return std::fmax(x, y); }
inline double min(double x, double y) { return std::fmin(x, y); }

[[noreturn]] inline void __trap() { emulator::Machine::here().fail("calls __trap()"); }

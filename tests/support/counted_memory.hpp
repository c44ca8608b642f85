// How much memory a piece of code takes at most, by the operators new and delete of the program of unit tests, which
// counted_memory.cpp replaces.
#pragma once

#include <cstdint>

/// Bytes that are allocated now, and the most that were since reset.
struct CountedMemory {
  static std::int64_t live();
  static std::int64_t peak();
  static void reset_peak();

  /// From now on `n` allocations succeed in this thread, the next one fails, and those after it succeed again.
  static void fail_after(std::int64_t n);
  /// None fails any more; true where one has failed since fail_after().
  static bool never_fail();
};

/// The most bytes that body() has beside those that were there before, whether it throws or not.
template <class Body> std::int64_t peak_bytes_of(Body&& body) {
  CountedMemory::reset_peak();
  const std::int64_t before = CountedMemory::live();
  try {
    body();
  } catch (...) {
    // An exception is memory too, and is gone.
  }
  return CountedMemory::peak() - before;
}

/// What a reader may take of a file of so many bytes, whatever they say.
constexpr std::int64_t most_bytes_for(std::size_t file) { return 4 * static_cast<std::int64_t>(file) + 1'000'000; }

// In which order the threads and the blocks of an emulated grid run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace emulator {

/// Which of the threads that could go on is next, and which block. Every order is a possible one on a GPU, so a kernel
/// whose result depends on it is wrong: tests run it in several orders and compare bits.
struct Order {
  enum Kind { ascending, descending, shuffled };
  Kind kind = ascending;
  std::uint64_t seed = 0;  ///< of shuffled

  /// TINYGPT_EMULATOR_ORDER: ascending, descending, or the seed of a shuffled order.
  static Order of_environment() {
    const char* text = std::getenv("TINYGPT_EMULATOR_ORDER");
    if (text == nullptr || std::string_view(text) == "ascending") return {};
    if (std::string_view(text) == "descending") return {descending};
    char* end = nullptr;
    const std::uint64_t seed = std::strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
      throw std::invalid_argument("TINYGPT_EMULATOR_ORDER is '" + std::string(text) +
                                  "': write ascending, descending or a number to shuffle by");
    }
    return {shuffled, seed};
  }

  /// The numbers [0, n) in this order.
  std::vector<std::uint64_t> permutation(std::uint64_t n, std::mt19937_64& random) const {
    std::vector<std::uint64_t> p(n);
    for (std::uint64_t i = 0; i < n; ++i) p[i] = kind == descending ? n - 1 - i : i;
    if (kind == shuffled) std::shuffle(p.begin(), p.end(), random);
    return p;
  }
};

/// What a test runs a kernel in.
inline constexpr Order several_orders[] = {
    {Order::ascending}, {Order::descending}, {Order::shuffled, 1}, {Order::shuffled, 2}};

/// The order of the launches to come.
inline Order& order() {
  thread_local Order value = Order::of_environment();
  return value;
}

/// While it lives, kernels run in another order.
class WithOrder {
 public:
  explicit WithOrder(Order wanted) : before_(std::exchange(order(), wanted)) {}
  WithOrder(const WithOrder&) = delete;
  WithOrder& operator=(const WithOrder&) = delete;
  ~WithOrder() { order() = before_; }

 private:
  Order before_;
};

}  // namespace emulator

// What a matrix product is: its operands, its size, and what its result is added to.
#pragma once

#include <compare>
#include <cstdint>
#include <sstream>
#include <string>
#include <type_traits>

#include <tinygpt/layout/dtype.hpp>

namespace tinygpt::gpu {

enum class Layout { as_stored, transposed };
enum class Accumulate { no, yes };
enum class Bias { none, row };  ///< row: one number for each column of the result, added to every row
enum class Number { float32, bf16 };

template <class E>
inline constexpr Number number_of = std::is_same_v<std::remove_const_t<E>, bfloat16> ? Number::bf16 : Number::float32;

/// An input of a product. as_stored: element (i, j) is data[i * stride + j]; transposed: data[j * stride + i].
template <class E> struct Operand {
  const E* data;
  std::int64_t stride;
  Layout layout;
};

template <class E> Operand<std::remove_const_t<E>> as_stored(E* data, std::int64_t stride) {
  return {data, stride, Layout::as_stored};
}
template <class E> Operand<std::remove_const_t<E>> transposed(E* data, std::int64_t stride) {
  return {data, stride, Layout::transposed};
}

/// y (m x n) = a (m x k) b (k x n), without the addresses: all that the choice of an algorithm depends on. The numbers
/// of a, b and the bias are `in`, those of y `out`; sums are float.
struct Product {
  std::int64_t m, n, k;
  Layout a, b;
  std::int64_t a_stride, b_stride, y_stride;
  Number in, out;
  Accumulate accumulate;
  Bias bias;
  int a_alignment, b_alignment, y_alignment, bias_alignment;  ///< bytes

  friend auto operator<=>(const Product&, const Product&) = default;
};

/// The bytes of which an address is known to be a multiple, as far as that matters to an access: at most 16.
inline int alignment_of(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 16;
  return static_cast<int>(address & (~address + 1));
}

/// One word without spaces that says all of it, such as "bf16-bf16_8192x2304x768_n768_t768_2304_row_16-16-16-16".
inline std::string text(const Product& p) {
  const auto number = [](Number n) { return n == Number::bf16 ? "bf16" : "float"; };
  const auto layout = [](Layout l) { return l == Layout::transposed ? 't' : 'n'; };
  std::ostringstream out;
  out << number(p.in) << '-' << number(p.out) << '_' << p.m << 'x' << p.n << 'x' << p.k << '_' << layout(p.a)
      << p.a_stride << '_' << layout(p.b) << p.b_stride << '_' << p.y_stride
      << (p.accumulate == Accumulate::yes ? "_add" : "") << (p.bias == Bias::row ? "_row" : "") << '_' << p.a_alignment
      << '-' << p.b_alignment << '-' << p.y_alignment << '-' << p.bias_alignment;
  return out.str();
}

/// The product whose algorithm this one takes. Batches have round numbers of rows; other numbers are those of prompts,
/// each perhaps only once, and share what was found for the next power of two.
inline Product representative(Product p) {
  const bool forward = p.a == Layout::as_stored && p.b == Layout::transposed;
  if (!forward || p.m % 64 == 0) return p;
  std::int64_t m = 1;
  while (m < p.m) m *= 2;
  p.m = m;
  return p;
}

}  // namespace tinygpt::gpu

// Views that carry their shape in their type; only the extents that depend on data are stored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tinygpt/layout/axes.hpp>
#include <tinygpt/macros.hpp>

namespace tinygpt {

/// A dense row-major view: a pointer and one int per dynamic axis. Never owns. A null view stands for a tensor that the
/// architecture does not have (a bias, say); ops that accept one say so.
///
///   Tensor<float, Batch<dyn>, Time<dyn>, Embd<768>> x{ptr, B, T};
///   x.extent<Embd>();   // 768, a constant
template <class E, class... Axes>
class Tensor {
 public:
  using element = E;
  static constexpr int rank = sizeof...(Axes);
  static constexpr int dynamic = (0 + ... + int{Axes::value == dyn});
  using Extents = std::array<int, static_cast<std::size_t>(dynamic == 0 ? 1 : dynamic)>;

  constexpr Tensor() = default;

  /// The view of memory at `data`, with one extent for each dynamic axis, in order.
  template <class... Ints>
    requires(std::is_convertible_v<Ints, int> && ...)
  TINYGPT_HD constexpr explicit Tensor(E* data, Ints... extents) : data_(data) {
    static_assert(sizeof...(Ints) == dynamic,
                  "tinygpt: a view takes one extent for each axis of dynamic extent, in order: write "
                  "Tensor<E, Batch<dyn>, Time<dyn>, Embd<768>>{data, B, T}");
    const int given[] = {static_cast<int>(extents)..., 0};
    for (int i = 0; i < dynamic; ++i) extents_[static_cast<std::size_t>(i)] = given[i];
  }

  /// A view for reading of a view for writing.
  template <class U>
    requires(std::is_same_v<const U, E> && !std::is_same_v<U, E>)
  TINYGPT_HD constexpr Tensor(const Tensor<U, Axes...>& other) : data_(other.data()), extents_(other.dynamic_extents()) {}

  TINYGPT_HD constexpr E* data() const { return data_; }
  TINYGPT_HD constexpr explicit operator bool() const { return data_ != nullptr; }
  TINYGPT_HD constexpr const Extents& dynamic_extents() const { return extents_; }

  /// Extent of axis number `axis`.
  TINYGPT_HD constexpr int extent(int axis) const {
    constexpr std::array<int, static_cast<std::size_t>(rank)> fixed{Axes::value...};
    int slot = 0;
    for (int i = 0; i < axis; ++i) slot += fixed[static_cast<std::size_t>(i)] == dyn;
    const int value = fixed[static_cast<std::size_t>(axis)];
    return value == dyn ? extents_[static_cast<std::size_t>(slot)] : value;
  }

  /// Extent of the axis of that name: x.extent<Embd>().
  template <template <int...> class Axis>
  TINYGPT_HD constexpr int extent() const {
    int found = -1;
    int i = 0;
    ((found = is_axis<Axis, Axes>::value && found < 0 ? i : found, ++i), ...);
    return extent(found);
  }

  TINYGPT_HD constexpr std::int64_t size() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= extent(i);
    return n;
  }

  /// Extent of the last axis, and the number of rows of that width: how row-wise ops see any tensor.
  TINYGPT_HD constexpr int width() const { return extent(rank - 1); }
  TINYGPT_HD constexpr std::int64_t rows() const { return width() == 0 ? 0 : size() / width(); }

 private:
  template <template <int...> class Axis, class T>
  struct is_axis : std::false_type {};
  template <template <int...> class Axis, int... Ns>
  struct is_axis<Axis, Axis<Ns...>> : std::true_type {};

  E* data_ = nullptr;
  Extents extents_{};
};

/// The same view, for reading: for an op that deduces its extents from an input.
template <class E, class... Axes>
constexpr Tensor<const E, Axes...> read(const Tensor<E, Axes...>& t) {
  return t;
}

/// The first tensor of an op deduces the extents; the others are In or Out of them, which do not deduce. So a tensor of
/// the wrong shape is reported as that argument, with both shapes.
template <class E, class... Axes>
using Out = std::type_identity_t<Tensor<E, Axes...>>;
template <class E, class... Axes>
using In = std::type_identity_t<Tensor<const E, Axes...>>;

}  // namespace tinygpt

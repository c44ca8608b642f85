// The reference backend's context, and its view of tensors as Eigen matrices.
#pragma once

#include <Eigen/Core>
#include <span>

#include <tinygpt/ops/backend.hpp>

namespace tinygpt::reference {

/// What is kept of operations that are to be repeated.
struct Recording {};

/// A number that was copied out: nothing is done later here.
template <class N> struct Later {
  N value{};
  N get() const { return value; }
};

/// The definition of correct: any scalar S, one thread, every intermediate result materialised, no cleverness.
template <class S> struct Context {
  using element = S;
  using accumulator = S;
  using Recording = reference::Recording;
  template <class N> using Later = reference::Later<N>;
};

template <class E>
using Matrix = Eigen::Matrix<std::remove_const_t<E>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class E> using MatrixMap = Eigen::Map<std::conditional_t<std::is_const_v<E>, const Matrix<E>, Matrix<E>>>;

/// rows x width view of a tensor.
template <class E, class... Axes> MatrixMap<E> matrix(const Tensor<E, Axes...>& t) {
  return MatrixMap<E>(t.data(), t.rows(), t.width());
}

/// The row vector of a 1-dimensional tensor.
template <class E, class Axis> MatrixMap<E> row(const Tensor<E, Axis>& t) {
  return MatrixMap<E>(t.data(), 1, t.width());
}

/// 0 or scale() for element (row, column) of a mask; 1 without dropout.
template <class S> S mask(const Dropout& dropout, std::int64_t row, std::int64_t column, std::int64_t width) {
  if (!dropout) return S(1);
  return dropout.keeps(row, column, width) ? S(dropout.scale()) : S(0);
}

}  // namespace tinygpt::reference

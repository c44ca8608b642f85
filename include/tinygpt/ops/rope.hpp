// The table of rotary position embeddings.
#pragma once

#include <cmath>
#include <vector>

#include <tinygpt/layout/tensor.hpp>

namespace tinygpt {

/// rope[p] = cos(p w_i) for i in [0, D/2), then sin(p w_i), with w_i = base^(-2i/D); computed here in double, once, for
/// every backend. Source: Su et al. 2021 (arXiv:2104.09864) eq. 15.
template <class Context, class S, int N, int D> void fill_rope(Context& ctx, Tensor<S, Ctx<N>, HeadDim<D>> rope, int base) {
  std::vector<S> table(static_cast<std::size_t>(N) * D);
  for (int p = 0; p < N; ++p) {
    S* const row = table.data() + static_cast<std::size_t>(p) * D;
    for (int i = 0; i < D / 2; ++i) {
      const double angle = p * std::pow(static_cast<double>(base), -2.0 * i / D);
      row[i] = S(std::cos(angle));
      row[D / 2 + i] = S(std::sin(angle));
    }
  }
  copy_in(ctx, rope.data(), table);
}

}  // namespace tinygpt

// The global norm of the gradient, and AdamW.
#pragma once

#include <cmath>
#include <span>

#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// norm = sqrt(sum of squares).
template <class E> void global_norm(Context<E>&, double* norm, std::type_identity_t<std::span<const E>> gradients) {
  double sum = 0;
  for (const E& g : gradients) sum += static_cast<double>(g) * static_cast<double>(g);
  *norm = std::sqrt(sum);
}

/// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
/// w = w (1 - lr decay) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps), g clipped by the global norm, t =
/// ++*updates. Weights are their own masters here.
template <class E>
void adamw(Context<E>&, std::type_identity_t<std::span<E>> weights, std::type_identity_t<std::span<E>>,
           std::type_identity_t<std::span<E>> m, std::type_identity_t<std::span<E>> v, std::int64_t* updates,
           std::type_identity_t<std::span<const E>> gradients, const E* loss, const double* norm, const AdamW* hyper) {
  const AdamW& now = *hyper;
  if (!AdamW::finite(static_cast<double>(*loss), *norm)) return;
  const double clip = now.clip_scale(*norm);
  const auto t = static_cast<double>(++*updates);
  const double c1 = 1 - std::pow(now.beta1, t);
  const double c2 = 1 - std::pow(now.beta2, t);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double g = clip * static_cast<double>(gradients[i]);
    const double decay = static_cast<std::int64_t>(i) < now.decay_end ? now.weight_decay : 0.0;
    const double new_m = now.beta1 * static_cast<double>(m[i]) + (1 - now.beta1) * g;
    const double new_v = now.beta2 * static_cast<double>(v[i]) + (1 - now.beta2) * g * g;
    m[i] = static_cast<E>(new_m);
    v[i] = static_cast<E>(new_v);
    weights[i] = static_cast<E>(static_cast<double>(weights[i]) * (1 - now.learning_rate * decay) -
                                now.learning_rate * (new_m / c1) / (std::sqrt(new_v / c2) + now.epsilon));
  }
}

}  // namespace tinygpt::reference

// The global norm of the gradient, and AdamW over the whole arena in one pass. Twin of reference/optimizer.hpp.
#pragma once

#include <cmath>
#include <span>

#include <tinygpt/cpu/rows.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt::cpu {

inline void global_norm(Workers& ctx, double* norm, std::span<const float> gradients) {
  const auto n = static_cast<std::int64_t>(gradients.size());
  const std::int64_t parts = (n + arena_part - 1) / arena_part;
  auto* const sums = reinterpret_cast<double*>(ctx.shared_scratch(2 * parts));
  for_arena_parts(ctx, n, [&](int part, std::int64_t first, std::int64_t last) {
    constexpr std::int64_t run = 64 * vector_width;  // summed in float before it is added in double
    double total = 0;
    for (std::int64_t i = first; i < last; i += run) {
      Floats squares = {};
      along(std::min(run, last - i), [&](Lanes lanes) {
        const Floats g = lanes.load(gradients.data() + i);
        squares += g * g;
      });
      total += static_cast<double>(sum(squares));
    }
    sums[part] = total;
  });
  double total = 0;
  for (std::int64_t part = 0; part < parts; ++part) total += sums[part];
  *norm = std::sqrt(total);
}

template <class E>
void adamw(BasicContext<E>& ctx, std::type_identity_t<std::span<E>> weights, std::span<float> masters,
           std::span<float> m, std::span<float> v, std::int64_t* updates, std::span<const float> gradients,
           const float* loss, const double* norm, const AdamW* hyper) {
  const AdamW& now = *hyper;
  if (!AdamW::finite(*loss, *norm)) return;
  const auto clip = static_cast<float>(now.clip_scale(*norm));
  const auto beta1 = static_cast<float>(now.beta1), beta2 = static_cast<float>(now.beta2);
  const auto update_number = static_cast<double>(++*updates);
  const double correction1 = 1 - std::pow(now.beta1, update_number);
  const double correction2 = 1 - std::pow(now.beta2, update_number);
  const auto rate = static_cast<float>(now.learning_rate / correction1);
  const auto inv_correction2 = static_cast<float>(1 / correction2);
  const auto epsilon = static_cast<float>(now.epsilon);
  const auto update = [&](std::int64_t first, std::int64_t last, float decay) {
    along(last - first, [&](Lanes lanes) {
      const Floats g = lanes.load(gradients.data() + first) * broadcast(clip);
      const Floats new_m = lanes.load(m.data() + first) * beta1 + g * (1 - beta1);
      const Floats new_v = lanes.load(v.data() + first) * beta2 + g * g * (1 - beta2);
      lanes.store(m.data() + first, new_m);
      lanes.store(v.data() + first, new_v);
      const auto updated = [&](const auto* old) {
        return lanes.load(old + first) * decay - new_m * rate / (sqrt(new_v * inv_correction2) + epsilon);
      };
      if constexpr (std::is_same_v<E, float>) {
        lanes.store(weights.data() + first, updated(weights.data()));
      } else {
        const Floats master = updated(masters.data());
        lanes.store(masters.data() + first, master);
        lanes.store(weights.data() + first, master);
      }
    });
  };
  const auto kept = static_cast<float>(1 - now.learning_rate * now.weight_decay);
  for_arena_parts(ctx, static_cast<std::int64_t>(weights.size()), [&](int, std::int64_t first, std::int64_t last) {
    const std::int64_t middle = std::clamp(now.decay_end, first, last);
    update(first, middle, kept);
    update(middle, last, 1.0f);
  });
}

}  // namespace tinygpt::cpu

// The learning rate over a run.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace tinygpt {

/// Linear warmup over the first `warmup` iterations, then half a cosine from `peak` down to `floor` at `total`.
/// `iteration` counts from 1. Without a warmup the first iteration has the peak, as with a warmup of 1. Source:
/// Loshchilov and Hutter 2017 (arXiv:1608.03983) eq. 5, as GPT-2 and GPT-3 use it.
inline double warmup_cosine(std::int64_t iteration, std::int64_t warmup, std::int64_t total, double peak,
                            double floor) {
  if (warmup < 1) warmup = 1;
  if (iteration <= warmup) return peak * static_cast<double>(iteration) / static_cast<double>(warmup);
  if (iteration >= total) return floor;
  const double done = static_cast<double>(iteration - warmup) / static_cast<double>(total - warmup);
  return floor + 0.5 * (1 + std::cos(std::numbers::pi * done)) * (peak - floor);
}

}  // namespace tinygpt

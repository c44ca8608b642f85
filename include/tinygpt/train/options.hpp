// What a training run may be told.
#pragma once

#include <cstdint>

#include <tinygpt/layout/storage.hpp>

namespace tinygpt {

struct TrainOptions {
  std::int64_t max_iters = 1000;
  int batch_size = 16;       ///< sequences whose activations are in memory at once
  int grad_accum_steps = 1;  ///< such batches per iteration: their gradients are added up before the weights change
  double learning_rate = 1e-3;
  double min_learning_rate = 1e-4;
  std::int64_t warmup_iters = 100;
  double weight_decay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double grad_clip = 1.0;
  double dropout = 0.0;
  std::int64_t eval_interval = 250;
  int eval_iters = 20;
  Recompute recompute = Recompute::none;  ///< what the backward pass computes again, to save memory
  std::uint64_t seed = 1337;
};

}  // namespace tinygpt

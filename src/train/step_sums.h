// What the passes of a step give, of all ranks together.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "dist/communicator.h"
#include "pass/pass_result.h"
#include "pipeline/pipeline.h"
#include "train/data_parallel_optimizer.h"

namespace lococo {

struct StepSums {
  double loss_sum = 0;
  int64_t targets = 0;
  int64_t tokens = 0;
};

/// Adds up `results`, of this rank's micro-batches, and `tokens` over the ranks of `world`, and the
/// gradients over those that have trained the same weights, which are all without a `pipeline`
/// (null). `results` and what they hold lie on `device`; on stages but the last they are empty
/// sums. A collective call, which waits for the GPU.
StepSums sum_over_ranks(const std::vector<PassResult>& results, int64_t tokens, Communicator& world,
                        const Pipeline* pipeline, torch::Device device,
                        DataParallelOptimizer* optimizer);

}  // namespace lococo

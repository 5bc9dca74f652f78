// The learning rate as a function of the step.
#pragma once

#include <cstdint>

#include "config/train_config.h"

namespace lococo {

/// What a peak learning rate is multiplied with at `step` (0-based, of N = config.steps; W =
/// config.warmup_steps; f = config.final_lr_fraction). The convention is that of transformers'
/// get_*_schedule_with_warmup, where the factor before the first update is that of step 0:
///   s < W     s / W, so the very first step of a warm-up moves nothing
///   constant  1
///   linear    f + (1 - f) (N - s) / (N - W): 1 at step W, f + (1 - f) / (N - W) at the last step
///   cosine    f + (1 - f) (1 + cos(pi (s - W) / (N - W))) / 2
/// From step N on it is the value at N (f for the two decays). In [0, 1].
double lr_factor(const TrainConfig& config, int64_t step);

}  // namespace lococo

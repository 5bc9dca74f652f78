// lococo-bench patterns.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "config/config.h"

namespace lococo {

/// Forward and backward of the training sequences of train-step with attention.pattern full, s2 and
/// sf on the same model, one after the other in each repetition; how much faster than full
/// attention the others are; peak memory. Throws UserError with a cache policy.
void bench_patterns(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

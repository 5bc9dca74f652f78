// lococo-bench train-step.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "config/config.h"

namespace lococo {

/// Training as lococo-train does it, on random tokens: time of a block (or sequence) and of the
/// optimizer, tokens/s, peak memory, share of the hardware limit.
void bench_train_step(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

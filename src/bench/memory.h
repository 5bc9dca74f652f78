// lococo-bench memory.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "config/config.h"

namespace lococo {

/// Peak memory of one training sequence of each of bench.contexts.
void bench_memory(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

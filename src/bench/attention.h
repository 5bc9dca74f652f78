// lococo-bench attention.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "config/config.h"

namespace lococo {

/// Every attention backend, forward and with its backward, for a block with a full cache and for
/// causal sequences of bench.contexts; the column mass of such a block.
void bench_attention(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

// lococo-bench conv.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "config/config.h"

namespace lococo {

/// The first convolution of a compression, forward and weight gradient: the library's best layout
/// against the project's own.
void bench_conv(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

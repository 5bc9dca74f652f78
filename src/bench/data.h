// lococo-bench data.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "config/config.h"

namespace lococo {

/// The loader on data.train, and the tokenizer on its texts where it is text.
void bench_data(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

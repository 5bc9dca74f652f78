// lococo-bench prefill and decode.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "config/config.h"

namespace lococo {

/// A prompt of each of bench.contexts tokens, in blocks, up to the logits of the next token.
void bench_prefill(const Config& config, torch::Device device, Report& report);

/// bench.new_tokens tokens after a prompt of each of bench.contexts, and what reading the weights
/// and the cache once for each would take.
void bench_decode(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

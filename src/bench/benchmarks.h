// The benchmarks of lococo-bench, one file each. All of them take model shape, cache and dtype from
// the config, and measure each of bench.batch. They throw UserError for a config that they cannot
// use.
#pragma once

#include <torch/types.h>

#include "bench/report.h"
#include "core/config.h"

namespace lococo {

/// Training as lococo-train does it, on random tokens: time of a block (or sequence) and of the
/// optimizer, tokens/s, peak memory, share of the hardware limit.
void bench_train_step(const Config& config, torch::Device device, Report& report);

/// A prompt of each of bench.contexts tokens, in blocks, up to the logits of the next token.
void bench_prefill(const Config& config, torch::Device device, Report& report);

/// bench.new_tokens tokens after a prompt of each of bench.contexts, and what reading the weights
/// and the cache once for each would take.
void bench_decode(const Config& config, torch::Device device, Report& report);

/// Every attention backend, forward and with its backward, for a block with a full cache and for
/// causal sequences of bench.contexts; the column mass of such a block.
void bench_attention(const Config& config, torch::Device device, Report& report);

/// The first convolution of a compression, forward and weight gradient: the library's best layout
/// against the project's own.
void bench_conv(const Config& config, torch::Device device, Report& report);

/// The loader on data.train, and the tokenizer on its texts where it is text.
void bench_data(const Config& config, torch::Device device, Report& report);

/// Peak memory of one training sequence of each of bench.contexts.
void bench_memory(const Config& config, torch::Device device, Report& report);

}  // namespace lococo

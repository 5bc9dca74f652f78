// What lococo-generate makes of a config before it generates, in one shot and in a conversation.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "decode/decoder.h"
#include "generate/generation.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// "model X, adapter Y, cache policy lococo: 512 slots a layer, and 64 more while decoding"
std::string describe_generation(const Config& config, const CacheConfig& cache);

/// `max_tokens`: of prompts and answers together, for cache.policy none, which then takes memory
/// for `prompt` tokens and some of an answer, and more as they come.
DecoderOptions decoder_options(const Config& config, int64_t max_tokens, int64_t prompt);

/// Tokens that end an answer: `own` (of a chat template; may be empty), the tokenizer's (null:
/// none) and the model's; none where generate.stop_at_eos is off.
std::vector<int64_t> end_tokens(const Config& config, const Tokenizer* tokenizer,
                                const ModelShape& shape, const std::vector<int32_t>& own = {});

/// Of one answer, looked at as often as its text should seem to flow. `vocab_size` as in
/// GenerationOptions.
GenerationOptions generation_options(const Config& config, std::vector<int64_t> end_tokens,
                                     int64_t vocab_size, torch::Device device);

/// " in 2.00 s (20.0 tokens/s)".
std::string speed_text(int64_t tokens, double seconds);

/// Writes and flushes. Throws UserError when that fails.
void print_to_stdout(const std::string& piece);

}  // namespace lococo

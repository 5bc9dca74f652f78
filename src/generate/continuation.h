// How probable given continuations are.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "decode/decoder.h"

namespace lococo {

/// The natural logarithm of the probability that row b goes on with options[b] (token ids; none: 0)
/// after all that it has read; compressions come as in decoding. The decoder is left in another
/// state: it saves and restores (Decoder::save) whoever asks about several options.
std::vector<double> continuation_log_probabilities(
    Decoder& decoder, const torch::Tensor& logits_BV,
    const std::vector<std::vector<int32_t>>& options);

}  // namespace lococo

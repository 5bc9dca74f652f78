// A decoder layer that keeps its input and its attention's output, and recomputes the rest in the
// backward pass (arXiv 1604.06174, with the part that costs most kept).
#pragma once

#include <torch/types.h>

#include "model/llama.h"

namespace lococo {

/// layer(hidden_BLE) for a whole sequence, the last addition done. Kept for the backward pass:
/// hidden, the attention's output and its log-sum-exp. The backward pass recomputes norms,
/// projections and the feed-forward's first half, the latter a few thousand rows at a time, but
/// neither the attention nor, where the feed-forward is frozen, its last product. Gradients reach
/// hidden and the layer's trained parameters: [B, L, E] in the dtype of hidden.
torch::Tensor checkpoint_layer(DecoderLayer layer, const torch::Tensor& hidden_BLE,
                               const AttentionInput& input);

}  // namespace lococo

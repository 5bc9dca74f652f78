// A decoder layer that keeps its input, and its attention's output unless asked not to, and
// recomputes the rest in the backward pass (arXiv 1604.06174).
#pragma once

#include <torch/types.h>

#include "model/llama.h"

namespace lococo {

/// Rows of a recomputed layer's feed-forward that exist at one time.
constexpr int64_t kFeedForwardRows = 4096;

/// layer(hidden_BLE) for a whole sequence, the last addition done. Kept for the backward pass:
/// hidden, and unless `recompute_attention` the attention's output, as large as hidden, and its
/// log-sum-exp. The backward pass recomputes norms, projections, an attention that was not kept,
/// and the feed-forward's first half, a few thousand rows at a time, but where the feed-forward is
/// frozen not its last product. Gradients reach hidden and the layer's trained parameters:
/// [B, L, E] in the dtype of hidden.
torch::Tensor checkpoint_layer(DecoderLayer layer, const torch::Tensor& hidden_BLE,
                               const AttentionInput& input, bool recompute_attention = false);

}  // namespace lococo

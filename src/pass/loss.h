// Next-token cross-entropy without ever holding the logits of all tokens.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Targets of this value do not count.
inline constexpr int64_t kIgnoreTarget = -100;

/// Sum over the targets that count of -log softmax(hidden W')[target], float32, 0-dim. hidden_XE
/// [X, E] and head_VE [V, E] share device; targets_X int64. The logits of `chunk` rows exist at one
/// time (softmax in float32; on a GPU one kernel reads them and writes their gradient). Gradients
/// reach hidden and, if it requires one, head; they are made in the forward pass, so that the
/// logits need not be kept or made twice.
torch::Tensor chunked_cross_entropy(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                                    const torch::Tensor& targets_X, int64_t chunk);

/// The same from all logits at once: the slow, obviously right form.
torch::Tensor cross_entropy_reference(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                                      const torch::Tensor& targets_X);

/// -log softmax of each target, float32 [X], 0 where it does not count; no gradient.
torch::Tensor target_nll(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                         const torch::Tensor& targets_X, int64_t chunk);

}  // namespace lococo

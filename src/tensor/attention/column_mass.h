// How much attention each key received.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace lococo {

/// Column sums of the causal softmax, the score of H2O (arXiv 2306.14048): how much attention each
/// key received from these L queries, summed over the query heads that share a key-value head.
/// `prior_mass_BGM`, when defined, is float32 and what the first M keys received before: it is
/// added. Only queries at least `distance` slots behind a key count for it; 0: all that see it.
/// lse_BHL is causal_attention()'s. float32 [B, G, S], no gradient. The same inputs give the same
/// bits. On a GPU, for bfloat16 and head
/// dimensions that are multiples of 16 up to 128, one kernel that keeps no scores.
torch::Tensor column_mass(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                          const torch::Tensor& lse_BHL, const torch::Tensor& prior_mass_BGM = {},
                          int64_t distance = 0);

/// The same from materialised float64 probabilities: the slow form that tests compare with.
torch::Tensor column_mass_reference(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                    int64_t distance = 0);

}  // namespace lococo

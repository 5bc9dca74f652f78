// Causal attention over a cache and a block, with the log-sum-exp that lets attention's column sums
// be computed without keeping the probabilities. The mask is aligned bottom-right: query l of L
// sees keys 0 .. S - L + l.
#pragma once

#include <torch/types.h>

#include "core/config.h"

namespace lococo {

struct AttentionOutput {
  torch::Tensor out_BHLD;  ///< dtype of q
  torch::Tensor lse_BHL;   ///< float32, natural logarithm, no gradient
};

/// q_BHLD, k_BGSD and v_BGSD share dtype and device; H is a multiple of G and S >= L. Scale is 1 /
/// sqrt(D). Gradients reach q, k and v. kReference is the slow, obviously right form (softmax in
/// float32); kFlash is FlashAttention on a GPU (bfloat16) and the blocked kernel of LibTorch on a
/// CPU; kCudnn needs a GPU and bfloat16. kAuto takes the fastest that the device and dtype allow.
AttentionOutput causal_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                 const torch::Tensor& v_BGSD, AttentionBackend backend);

/// The backend that kAuto stands for.
AttentionBackend resolve_backend(AttentionBackend backend, const torch::Tensor& q_BHLD, int64_t S);

/// Column sums of the causal softmax, the score of H2O (arXiv 2306.14048): how much attention each
/// key received from these L queries, summed over the query heads that share a key-value head.
/// `prior_mass_BGM`, when defined, is float32 and what the first M keys received before: it is
/// added. Only queries at least `distance` slots behind a key count for it; 0: all that see it.
/// lse_BHL is causal_attention()'s. float32 [B, G, S], no gradient. On a GPU, for bfloat16 and head
/// dimensions that are multiples of 16 up to 128, one kernel that keeps no scores.
torch::Tensor column_mass(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                          const torch::Tensor& lse_BHL, const torch::Tensor& prior_mass_BGM = {},
                          int64_t distance = 0);

/// The same from materialised probabilities: the slow form that tests compare with.
torch::Tensor column_mass_reference(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                    int64_t distance = 0);

}  // namespace lococo

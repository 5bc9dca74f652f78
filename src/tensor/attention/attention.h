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
/// sqrt(D). Gradients reach q, k and v. Throws c10::Error for other shapes, and where the backend
/// does not take the device or dtype. kReference is the slow, obviously right form (softmax in
/// float32); kFlash is FlashAttention on a GPU (bfloat16) and the blocked kernel of LibTorch on a
/// CPU; kCudnn needs a GPU and bfloat16. kAuto takes the fastest that the device and dtype allow.
AttentionOutput causal_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                 const torch::Tensor& v_BGSD, AttentionBackend backend);

/// The backend that kAuto stands for, for queries like q_BHLD and S keys; any other is itself.
AttentionBackend resolve_backend(AttentionBackend backend, const torch::Tensor& q_BHLD, int64_t S);

}  // namespace lococo

// Causal attention in which every key has a term of its own in its logits: how a soft choice of
// keys (soft/soft_cache.h) enters attention.
#pragma once

#include "tensor/attention/attention.h"

namespace lococo {

/// causal_attention() with logits q.k / sqrt(D) + bias: bias_BGS [B, G, S], float32 (float64 for
/// float64), is the same for all queries and all query heads of a group. Gradients reach q, k, v
/// and bias; lse_BHL is that of the logits with the bias. Slow: all logits at once, in float32
/// (float64 for float64). soft/soft_cache_fused.h is the fast form.
AttentionOutput key_bias_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                   const torch::Tensor& v_BGSD, const torch::Tensor& bias_BGS);

}  // namespace lococo

// Causal attention in tensor operations, and what other forms share with it; shapes and masks as in
// attention.h.
#pragma once

#include "tensor/attention/attention.h"

namespace lococo {

/// Materialises the probabilities; softmax in float32 (float64 for float64 inputs). Any device and
/// dtype.
AttentionOutput reference_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                    const torch::Tensor& v_BGSD);

/// Each key-value head repeated for the H / G query heads that share it: [B, H, S, D].
torch::Tensor repeat_kv_heads(const torch::Tensor& x_BGSD, int64_t H);

/// Additive mask [L, S]: 0 where query l may see key s, -infinity elsewhere.
torch::Tensor causal_bias(int64_t L, int64_t S, const torch::TensorOptions& options);

}  // namespace lococo

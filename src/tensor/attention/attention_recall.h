// Attention whose result is known already: what activation checkpointing needs in order to
// recompute a layer without its dearest part.
#pragma once

#include <torch/types.h>

#include "tensor/attention/attention_call.h"

namespace lococo {

/// Causal attention of a whole sequence (L = S) without gradients, and what its backward pass
/// needs. Shapes and backends as in causal_attention(); the reference keeps nothing.
AttentionMemo remember_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                 const torch::Tensor& v_BGSD, AttentionBackend backend);

/// The output that remember_attention() computed for the same q, k and v, which is not computed
/// again; its gradient reaches them. With a memo of the reference it is computed again.
torch::Tensor recall_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                               const torch::Tensor& v_BGSD, const AttentionMemo& memo);

}  // namespace lococo

// Attention whose result is known already: what activation checkpointing needs in order to
// recompute a layer without its dearest part.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <limits>

#include "tensor/attention/attention_call.h"

namespace lococo {

constexpr int64_t kAllHeads = std::numeric_limits<int64_t>::max();

/// Causal attention of a whole sequence (L = S) without gradients, and what its backward pass
/// needs. Shapes and backends as in causal_attention(); the reference keeps nothing.
AttentionMemo remember_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                 const torch::Tensor& v_BGSD, AttentionBackend backend);

/// The output that remember_attention() computed for the same q, k and v, which is not computed
/// again; its gradient reaches them. With a memo of the reference it is computed again. A fused
/// backward pass takes `heads` heads at a time; if they are not all, it leaves the gradients in the
/// memory of q, k and v, which must then be nobody else's.
torch::Tensor recall_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                               const torch::Tensor& v_BGSD, const AttentionMemo& memo,
                               int64_t heads = kAllHeads);

/// So few heads of B sequences of L tokens that what a backward pass needs for them is small, and
/// so many that they fill a GPU: at 32,768 tokens 16 of one sequence.
int64_t heads_at_once(int64_t B, int64_t L);

}  // namespace lococo

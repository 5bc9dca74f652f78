// Attention whose result is known already: what activation checkpointing needs in order to
// recompute a layer without its dearest part.
#pragma once

#include <torch/types.h>

#include "config/config.h"

namespace lococo {

/// What one forward of a fused causal attention over a whole sequence leaves for its backward pass.
struct AttentionMemo {
  torch::Tensor out_BHLD;                     ///< undefined: nothing is kept yet
  torch::Tensor lse;                          ///< as the kernel gives it
  torch::Tensor random_state, random_offset;  ///< of the kernel's (unused) dropout
  AttentionBackend backend = AttentionBackend::kAuto;
};

/// Causal attention of a whole sequence (L = S) without gradients, and what its backward pass
/// needs. Shapes and backends as in causal_attention(); the reference keeps nothing.
AttentionMemo remember_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                 const torch::Tensor& v_BGSD, AttentionBackend backend);

/// The output that remember_attention() computed for the same q, k and v, which is not computed
/// again; its gradient reaches them. With a memo of the reference it is computed again.
torch::Tensor recall_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                               const torch::Tensor& v_BGSD, const AttentionMemo& memo);

}  // namespace lococo

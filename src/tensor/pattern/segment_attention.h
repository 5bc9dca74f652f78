// Segments and sinks through fused kernels: equal segments are rows of one causal call; the sinks
// are a second attention, merged by log-sum-exp.
#pragma once

#include "tensor/pattern/attention_pattern.h"

namespace lococo {

/// masked_attention() without gradients, and what its backward pass needs; `backend` is kFlash or
/// kCudnn. Queries that see sinks outside their segment make a second call over these keys alone;
/// where O_i and L_i are the outputs and log-sum-exps of both, the merged ones are
/// L = log(e^L_1 + e^L_2) and O = sum_i e^(L_i - L) O_i.
PatternMemo segment_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                              const torch::Tensor& v_BGLD, const SegmentForm& form,
                              const Documents& documents, AttentionBackend backend);

/// The output of `memo` for the same arguments; its gradient reaches q, k and v. The kernels'
/// log-sum-exps have no gradient, so that autograd could not go through the merge: instead every
/// call's backward pass is given the merged output and log-sum-exp, which is exact
/// (attention_call.h).
torch::Tensor recall_segment_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                                       const torch::Tensor& v_BGLD, const SegmentForm& form,
                                       const Documents& documents, const PatternMemo& memo);

}  // namespace lococo

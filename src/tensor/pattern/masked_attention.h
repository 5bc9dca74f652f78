// Segments and sinks as a dense mask: the slow, obviously right form.
#pragma once

#include <torch/types.h>

#include "tensor/pattern/segments.h"

namespace lococo {

/// Which keys each query sees: bool [B, H, L, L] on the CPU, rows equal and B = 1 if `documents` is
/// empty. Throws c10::Error for what segment_problem() names.
torch::Tensor visible_keys(const SegmentForm& form, const Documents& documents, int64_t H,
                           int64_t L);

/// Attention under that mask; softmax in float32 (float64 for float64), all logits at once. Any
/// device and dtype. Queries that see nothing get 0.
torch::Tensor masked_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                               const torch::Tensor& v_BGLD, const SegmentForm& form,
                               const Documents& documents);

}  // namespace lococo

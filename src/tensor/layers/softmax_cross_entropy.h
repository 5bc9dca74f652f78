// Cross-entropy of given logits and its gradient in one kernel, for a GPU.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Whether softmax_cross_entropy() takes these logits and writes gradients of this dtype: on a GPU,
/// float32 and bfloat16 each.
bool softmax_cross_entropy_takes(const torch::Tensor& logits_XV, torch::ScalarType gradient_dtype);

struct SoftmaxCrossEntropy {
  torch::Tensor nll_X;        ///< float32, -log softmax(logits)[target]
  torch::Tensor gradient_XV;  ///< softmax - onehot, of the dtype asked for; undefined if not asked
};

/// Rows whose target is `ignored_target` get zeros; a target that is no index of a logit makes its
/// row NaN. logits_XV contiguous, targets_X int64; the softmax is taken in float32, sums in a fixed
/// order. No gradient flows through this function.
SoftmaxCrossEntropy softmax_cross_entropy(const torch::Tensor& logits_XV,
                                          const torch::Tensor& targets_X, int64_t ignored_target,
                                          std::optional<torch::ScalarType> gradient_dtype);

}  // namespace lococo

// The divergence of given logits from a teacher's and its gradient in one kernel, for a GPU.
#pragma once

#include <torch/types.h>

namespace lococo {

struct SoftmaxDivergence {
  torch::Tensor loss_X;       ///< float32
  torch::Tensor gradient_XV;  ///< bfloat16, of the student's logits
};

/// Whether softmax_divergence() takes such logits: float32 on a GPU, in contiguous rows at a
/// multiple of 16 bytes.
bool softmax_divergence_takes(const torch::Tensor& logits_XV);

/// weights_X times ((1 - truth_X) KL(softmax(teacher) || softmax(student)) - truth_X log
/// softmax(student)[target]). weights_X and truth_X float32, targets_X int64; truth_X may be
/// undefined (0), and then targets_X too. Rows of weight 0 get zeros; a target with some truth that
/// is no index of a logit makes its row's loss NaN. Sums have a fixed order. No gradient flows
/// through this function.
SoftmaxDivergence softmax_divergence(const torch::Tensor& student_XV,
                                     const torch::Tensor& teacher_XV,
                                     const torch::Tensor& weights_X, const torch::Tensor& targets_X,
                                     const torch::Tensor& truth_X);

}  // namespace lococo

// A loss against the same model with full attention (Hinton et al. 2015, arXiv 1503.02531): what a
// compressed cache should have predicted.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Sum over the rows of KL(softmax(teacher W') || softmax(hidden W')), float32 (float64 for
/// float64), 0-dim. hidden_XE and teacher_XE [X, E] are final hidden states of the same tokens,
/// head_VE [V, E] the output weights. The logits of `chunk` rows exist at one time. The gradient
/// reaches hidden alone: the teacher is a constant, and so is the head. weights_X (float32, may be
/// undefined: ones) is what each row's divergence counts for; it gets no gradient.
torch::Tensor distillation_loss(const torch::Tensor& hidden_XE, const torch::Tensor& teacher_XE,
                                const torch::Tensor& head_VE, int64_t chunk,
                                const torch::Tensor& weights_X = {});

/// The same from all logits at once, differentiable by autograd itself.
torch::Tensor distillation_loss_reference(const torch::Tensor& hidden_XE,
                                          const torch::Tensor& teacher_XE,
                                          const torch::Tensor& head_VE,
                                          const torch::Tensor& weights_X = {});

}  // namespace lococo

// A loss against the same model with full attention (Hinton et al. 2015, arXiv 1503.02531): what a
// compressed cache should have predicted.
#pragma once

#include <torch/types.h>

namespace lococo {

/// What is known of the rows of a loss; none of it gets a gradient.
struct DistilledRows {
  torch::Tensor weights_X;  ///< float32: what each row's loss counts for; undefined: 1
  torch::Tensor targets_X;  ///< int64 in [0, V): the tokens that were right; undefined: unknown
  torch::Tensor truth_X;    ///< float32 in [0, 1], with targets_X: their share in what is wanted
};

/// Sum over the rows of KL(softmax(teacher W') || softmax(hidden W')), float32 (float64 for
/// float64), 0-dim. hidden_XE and teacher_XE [X, E] are final hidden states of the same tokens,
/// head_VE [V, E] the output weights. Where a share of truth is known, the loss of a row is that
/// share of -log softmax(hidden W')[target] and the rest of the divergence. The logits of `chunk`
/// rows exist at one time. The gradient reaches hidden alone: the teacher is a constant, and so is
/// the head.
torch::Tensor distillation_loss(const torch::Tensor& hidden_XE, const torch::Tensor& teacher_XE,
                                const torch::Tensor& head_VE, int64_t chunk,
                                const DistilledRows& rows = {});

/// The same from all logits at once, differentiable by autograd itself.
torch::Tensor distillation_loss_reference(const torch::Tensor& hidden_XE,
                                          const torch::Tensor& teacher_XE,
                                          const torch::Tensor& head_VE,
                                          const DistilledRows& rows = {});

}  // namespace lococo

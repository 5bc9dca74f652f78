// The soft choice of soft_keep.h outside autograd, for nodes that hold its gradient themselves.
#pragma once

#include <torch/types.h>

#include "soft/soft_keep.h"

namespace lococo {

/// Of one choice. thresholds is float32 [B, G, 4] from the kernel, undefined from the slow form and
/// where all keys fit.
struct SoftChoice {
  torch::Tensor log_keep_BGS;
  torch::Tensor thresholds_BG4;
};

/// Undefined where there is none.
struct SoftChoiceGradient {
  torch::Tensor score_BGS;
  torch::Tensor massed_BGS;
};

/// Throws (our bug) unless soft_keep() takes these.
void check_soft_keep_inputs(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                            const SoftKeep& keep);

/// Whether kernels make the choice: float32, on a GPU S up to kMaxSoftKeepSlots, and something to
/// leave out.
bool takes_soft_choice_kernel(const torch::Tensor& score_BGS, const SoftKeep& keep);

/// The value of soft_keep(), without gradient.
SoftChoice choose_softly(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                         const SoftKeep& keep);

/// From that of log_keep to those of the scores that `choice` was made by.
SoftChoiceGradient soft_choice_gradient(const SoftChoice& choice, const torch::Tensor& score_BGS,
                                        const torch::Tensor& massed_BGS,
                                        const torch::Tensor& d_log_keep_BGS, const SoftKeep& keep);

}  // namespace lococo

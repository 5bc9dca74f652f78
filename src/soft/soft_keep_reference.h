// soft_keep() as plain as it can be written: what its kernels are compared with, and what runs
// where they do not.
#pragma once

#include <torch/types.h>

#include "soft/soft_keep.h"

namespace lococo {

/// soft_keep() in plain tensor operations in float64, with thresholds found step by step: slow. The
/// result has the dtype of score_BGS.
torch::Tensor soft_keep_reference(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                                  const SoftKeep& keep);

}  // namespace lococo

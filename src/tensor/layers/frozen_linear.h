// Linear layers whose weight is frozen, with or without a trained low-rank update (LoRA, arXiv
// 2106.09685), as one step of autograd.
#pragma once

#include <torch/types.h>

#include <vector>

#include "tensor/frozen/frozen_matrix.h"

namespace lococo {

/// Several projections of one input; R is LoRA's rank here. weights_OE [out_i, E]; and either no
/// LoRA or, for each projection, a_RE [R, E] and b_OR [out_i, R] (float32 masters, cast at use; one
/// rank and one scale for all).
struct FrozenProjections {
  std::vector<FrozenMatrix> weights_OE;
  std::vector<torch::Tensor> a_RE;
  std::vector<torch::Tensor> b_OR;
  double scale = 0.0;  ///< alpha / rank
};

/// y_i = x W_i' + scale (x A_i') B_i' for x [.., E] -> [.., out_i], in the dtype of x. The input is
/// read once for all low-rank factors together, and the gradients of x are summed inside the
/// products. Gradients reach x, A and B; those of A and B are summed in float32 (float64 for
/// float64).
std::vector<torch::Tensor> frozen_projections(const torch::Tensor& x,
                                              const FrozenProjections& projections);

}  // namespace lococo

// The feed-forward of a layer whose weights are not trained.
#pragma once

#include <torch/types.h>

namespace lococo {

/// down(silu(gate x) * up x), arXiv 2002.05202, for weights that need no gradient, in the dtype of
/// x, whose dtype the weights have. The gradient reaches x alone. Autograd keeps two tensors of
/// width F, the products gate x and up x (with `recompute` only x, of which the backward pass makes
/// them again), instead of all that the layer computes. Throws when a weight requires a gradient:
/// it would silently get none.
torch::Tensor frozen_mlp(const torch::Tensor& x_XE, const torch::Tensor& gate_FE,
                         const torch::Tensor& up_FE, const torch::Tensor& down_EF,
                         bool recompute = false);

/// The gradient of x of the same from that of its output, d_out_XE, for Functions that contain it:
/// gate x and up x are made again. Itself not differentiable.
torch::Tensor frozen_mlp_gradient(const torch::Tensor& d_out_XE, const torch::Tensor& x_XE,
                                  const torch::Tensor& gate_FE, const torch::Tensor& up_FE,
                                  const torch::Tensor& down_EF);

}  // namespace lococo

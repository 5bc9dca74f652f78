// The feed-forward of a layer whose weights are not trained.
#pragma once

#include <torch/types.h>

#include "tensor/frozen/frozen_matrix.h"

namespace lococo {

/// down(silu(gate x) * up x), arXiv 2002.05202, in the dtype of x. The gradient reaches x alone.
/// Autograd keeps two tensors of width F, the products gate x and up x (with `recompute` only x, of
/// which the backward pass makes them again), instead of all that the layer computes.
torch::Tensor frozen_mlp(const torch::Tensor& x_XE, const FrozenMatrix& gate_FE,
                         const FrozenMatrix& up_FE, const FrozenMatrix& down_EF,
                         bool recompute = false);

/// The weights of one.
struct FrozenMlp {
  FrozenMatrix gate_FE, up_FE, down_EF;
};

/// The gradient of x of the same from that of its output, d_out_XE, for Functions that contain it:
/// gate x and up x are made again. Itself not differentiable.
torch::Tensor frozen_mlp_gradient(const torch::Tensor& d_out_XE, const torch::Tensor& x_XE,
                                  const FrozenMatrix& gate_FE, const FrozenMatrix& up_FE,
                                  const FrozenMatrix& down_EF);

}  // namespace lococo

// Activation checkpointing (arXiv 1604.06174): keep a layer's input, recompute the rest in the
// backward pass.
#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

namespace lococo {

/// Runs fn(x) without recording it and recomputes it when its gradient is needed. `parameters` are
/// the trainable leaves that fn uses: autograd gives an output no gradient unless an input requires
/// one, so they must be named. fn must be pure.
torch::Tensor activation_checkpoint(std::function<torch::Tensor(const torch::Tensor&)> fn,
                                    const torch::Tensor& x,
                                    const std::vector<torch::Tensor>& parameters);

}  // namespace lococo

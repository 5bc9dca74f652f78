// The gradient check that torch has in Python only: autograd against central differences.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace lococo::testing {

/// `fn` maps the current values of `inputs` (float64 leaves with requires_grad) to a 0-dim float64
/// loss. Returns "" when every element's gradient agrees with (fn(x + e) - fn(x - e)) / 2e within
/// 1e-6 absolute and relative, else a line that says where it does not. An input that the loss does
/// not reach, or whose gradient is zero everywhere, is reported too: it would prove nothing.
std::string gradient_error(const std::function<torch::Tensor()>& fn,
                           const std::vector<torch::Tensor>& inputs);

/// Sum of all elements, each with a weight of its own, so that no gradient cancels out.
torch::Tensor weighted_sum(const torch::Tensor& x, uint64_t seed = 1);

}  // namespace lococo::testing

// Float32 weights for inputs in half precision, at the speed of products in half precision.
#pragma once

#include <torch/types.h>

namespace lococo {

/// x_XE weight_PE', x in bfloat16 and weight in float32 -> float32 [X, P]: the weight is the sum of
/// two bfloat16 numbers, which leaves 2^-17 of each, and one product with float32 sums takes both.
/// Backward rounds the incoming gradient to bfloat16 and the weight to its first part; the gradient
/// of x is bfloat16, that of weight float32.
torch::Tensor split_linear(const torch::Tensor& x_XE, const torch::Tensor& weight_PE);

}  // namespace lococo

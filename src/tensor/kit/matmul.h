// Matrix products of half-precision inputs whose result is kept in float32.
#pragma once

#include <torch/types.h>

namespace lococo {

/// a [X, M, K] times b [X, K, N] -> float32 [X, M, N]; no gradient. On a GPU the tensor cores read
/// the half-precision inputs and write the float32 sums; elsewhere the inputs are widened.
torch::Tensor batched_matmul_f32(const torch::Tensor& a, const torch::Tensor& b);

/// a [M, K] times b [K, N] -> float32 [M, N]; no gradient.
torch::Tensor matmul_f32(const torch::Tensor& a, const torch::Tensor& b);

}  // namespace lococo

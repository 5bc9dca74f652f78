// Root mean square normalization (arXiv 1910.07467), alone and joined with the residual addition
// before it.
#pragma once

#include <torch/types.h>

namespace lococo {

/// x_XE / root(mean square of the row + eps) * weight_E, computed in float32 (float64 for float64),
/// in the dtype of x. The weight may have another dtype than x. On a GPU, x of bfloat16 or float32
/// whose rows are contiguous, a multiple of 8 wide and at most 16384, is one kernel, and so is its
/// backward pass (a second one sums the weight's gradient, in a fixed order); what is kept for it
/// is x and a float32 for each row. Anything else is rms_norm_reference().
torch::Tensor rms_norm(const torch::Tensor& x_XE, const torch::Tensor& weight_E, double eps);

/// The same in plain tensor operations.
torch::Tensor rms_norm_reference(const torch::Tensor& x_XE, const torch::Tensor& weight_E,
                                 double eps);

struct AddNorm {
  torch::Tensor sum;     ///< x + residual, rounded to the dtype of x
  torch::Tensor normed;  ///< rms_norm(sum)
};

/// Both in one pass, under the conditions of rms_norm(); the residual has the shape and dtype of x.
AddNorm add_rms_norm(const torch::Tensor& x_XE, const torch::Tensor& residual_XE,
                     const torch::Tensor& weight_E, double eps);

AddNorm add_rms_norm_reference(const torch::Tensor& x_XE, const torch::Tensor& residual_XE,
                               const torch::Tensor& weight_E, double eps);

}  // namespace lococo

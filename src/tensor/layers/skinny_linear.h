// Linear layers of a few rows, as decoding needs them: the time goes into reading the weights once,
// so what stands before and behind the product is done on the way.
#pragma once

#include <torch/types.h>

#include <vector>

namespace lococo {

// Letters here: X rows, K input width, N output width.

/// An RMSNorm before the product; without a weight there is none.
struct SkinnyNorm {
  torch::Tensor weight_K = {};
  double eps = 0.0;
};

/// norm(x), x itself where there is none: what a kernel does on the way.
torch::Tensor normed_rows(const torch::Tensor& x_XK, const SkinnyNorm& norm);

/// Whether products of x with weights of its width run as the project's own kernel: 1 to 4 rows of
/// bfloat16 on a GPU, contiguous, K a multiple of 8, rows of at most 200 KiB together. All
/// functions below take anything else too and compute the same with tensor operations (rounding in
/// between). Weights are [N, K], contiguous, and share dtype and device with x. No gradient.
bool has_skinny_kernel(const torch::Tensor& x_XK);

/// norm(x) W' for up to three weights, in the dtype of x.
std::vector<torch::Tensor> skinny_linear(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                                         const std::vector<torch::Tensor>& weights);

/// residual + x W', in the dtype of x.
torch::Tensor skinny_linear_add(const torch::Tensor& x_XK, const torch::Tensor& weight_NK,
                                const torch::Tensor& residual_XN);

/// silu(norm(x) gate') * (norm(x) up'), in the dtype of x.
torch::Tensor skinny_swiglu(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                            const torch::Tensor& gate_NK, const torch::Tensor& up_NK);

/// norm(x) W', not rounded to the dtype of x: float32 (float64 for float64).
torch::Tensor skinny_linear_wide(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                                 const torch::Tensor& weight_NK);

}  // namespace lococo

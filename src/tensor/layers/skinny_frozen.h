// skinny_linear() for matrices of 8 or 4 bits: few rows, so that the time goes into reading the
// codes once, which become numbers on the way into the tensor cores.
#pragma once

#include <torch/types.h>

#include <vector>

#include "tensor/frozen/frozen_matrix.h"
#include "tensor/layers/skinny_linear.h"

namespace lococo {

// Letters here: X rows, K input width, N output width.

/// Whether products of x with all the matrices run as one of the project's own kernels: 1 to 8 rows
/// of bfloat16 on a GPU, contiguous, K a multiple of 64, as many bytes as shared memory takes (8
/// rows of 11,008 in NF4 on an H100); 1 to 3 matrices of one form, FP8 or NF4. The functions below
/// take anything else too and compute it with FrozenMatrix::product(). No gradient. The kernels do
/// not round x to 8 bits.
bool has_skinny_frozen(const torch::Tensor& x_XK, const std::vector<FrozenMatrix>& matrices);

/// norm(x) W' of all matrices side by side, [X, sum of N], in the dtype of x.
torch::Tensor skinny_frozen(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                            const std::vector<FrozenMatrix>& matrices);

/// residual + x W', in the dtype of x.
torch::Tensor skinny_frozen_add(const torch::Tensor& x_XK, const FrozenMatrix& matrix,
                                const torch::Tensor& residual_XN);

/// silu(norm(x) gate') * (norm(x) up'), in the dtype of x.
torch::Tensor skinny_frozen_swiglu(const torch::Tensor& x_XK, const SkinnyNorm& norm,
                                   const FrozenMatrix& gate, const FrozenMatrix& up);

}  // namespace lococo

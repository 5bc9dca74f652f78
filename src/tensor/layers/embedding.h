// The lookup of token vectors, with a gradient that touches the rows that were looked up and no
// others.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Rows tokens_BL (int64, any shape) of weight_VE, as `dtype`: [B, L, E].
///
/// On a GPU, for a float32 leaf `weight_VE`, the backward pass adds the rows' gradients straight
/// into weight_VE.grad() when that is already there (float32 and contiguous), and autograd gets an
/// undefined gradient: a dense one would cost three passes over V x E numbers for every block of a
/// sequence. So torch::autograd::grad() with respect to the weight sees nothing from here while the
/// weight holds a gradient, and hooks on the weight are not called for it. Without a gradient to
/// add to, a dense one goes the ordinary way. Equal tokens are summed in the order of their
/// positions, so results repeat. A token outside [0, V) stops the kernel: the next CUDA call fails.
///
/// Elsewhere, and for other dtypes, torch::embedding and a conversion.
torch::Tensor embedding(const torch::Tensor& weight_VE, const torch::Tensor& tokens_BL,
                        torch::ScalarType dtype);

}  // namespace lococo

// The lookup of token vectors, with a gradient that touches the rows that were looked up and no
// others.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Rows tokens_BL (int64, any shape, on the weight's device) of weight_VE, as `dtype`: [B, L, E].
///
/// The fast path is a kernel: on a GPU, for a contiguous float32 leaf `weight_VE` and `dtype`
/// float32 or bfloat16. Its gradient reaches the weight in one of two ways:
///
///   - weight_VE.grad() is undefined: a dense [V, E] gradient goes through autograd.
///   - weight_VE.grad() is there (float32, contiguous, of the weight's shape): the rows are added
///     into it, as AccumulateGrad would add a dense gradient, and autograd gets an undefined one.
///
/// The second is what a sequence of blocks needs: each block touches a few thousand rows, and a
/// dense gradient would cost three passes over V x E numbers (zeros, read, add) for each of them
/// and memory of its own in the graph of a block. A sparse one would not be accumulated in a fixed
/// order. Its price: while the weight holds a gradient, torch::autograd::grad() with respect to the
/// weight sees nothing from here, and hooks on the weight are not called for it. Who needs either
/// resets the gradient first.
///
/// Equal tokens are summed in the order of their positions, so results repeat bit for bit. Nothing
/// waits for the GPU. A token outside [0, V) stops the kernel: the next CUDA call fails.
///
/// Elsewhere, and for other dtypes, torch::embedding and a conversion; it throws c10::Error for a
/// token outside [0, V) and for tensors on two devices.
torch::Tensor embedding(const torch::Tensor& weight_VE, const torch::Tensor& tokens_BL,
                        torch::ScalarType dtype);

}  // namespace lococo

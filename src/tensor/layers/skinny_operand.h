// What the kernels of few rows ask of what they read beside x.
#pragma once

#include <torch/types.h>

#include "tensor/kit/kernel_input.h"

namespace lococo {

/// Weights, norms and residuals are bfloat16 on the device of x, contiguous and aligned.
inline void check_operand(const torch::Tensor& tensor, const torch::Tensor& x_XK) {
  TORCH_CHECK(tensor.device() == x_XK.device() && tensor.scalar_type() == torch::kBFloat16 &&
                  tensor.is_contiguous() && is_aligned(tensor),
              "want contiguous, aligned bfloat16 beside x, got ", tensor.toString(),
              tensor.sizes());
}

}  // namespace lococo

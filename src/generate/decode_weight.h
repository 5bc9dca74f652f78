// What decoding multiplies one input with: the weights of one or several layers, side by side.
#pragma once

#include <torch/types.h>

#include <vector>

#include "model/linear.h"

namespace lococo {

/// A snapshot in `dtype`, LoRA merged into it (rounded to that dtype), so that later changes of
/// LoRA or of float32 master weights are not seen. What needs no conversion is shared with the
/// layers, whose weights move (join_weights).
class DecodeWeight {
 public:
  DecodeWeight() = default;
  /// Layers of one input width E. Rows of `below`, [rows, E] in `dtype`, belong to none of them;
  /// their products follow the layers'.
  DecodeWeight(const std::vector<Linear>& layers, torch::ScalarType dtype,
               const torch::Tensor& below = {});

  /// Whether all of it is one dense matrix, which dense() then returns: for kernels that read one.
  bool is_dense() const { return matrix_.is_dense(); }
  const torch::Tensor& dense() const { return matrix_.dense(); }

  /// x_BE -> the outputs of all layers side by side, [B, sum of out].
  torch::Tensor product(const torch::Tensor& x_BE) const { return matrix_.product(x_BE); }

 private:
  FrozenMatrix matrix_;
};

}  // namespace lococo

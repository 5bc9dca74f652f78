// What decoding multiplies one input with: the weights of one or several layers, side by side.
#pragma once

#include <torch/types.h>

#include <vector>

#include "model/linear.h"
#include "tensor/layers/skinny_linear.h"

namespace lococo {

/// A snapshot, so that later changes of LoRA or of float32 master weights are not seen. Dense
/// weights are in `dtype`, LoRA merged into them (rounded to that dtype); what needs no conversion
/// is shared with the layers, whose weights move (join_weights). Quantised ones are shared and have
/// LoRA beside them. Few rows of x run as the project's kernels (skinny_linear.h, skinny_frozen.h),
/// which do what stands around a product on the way; anything else is the library's products.
class DecodeWeight {
 public:
  DecodeWeight() = default;
  /// Layers of one input width E. Rows of `below`, [rows, E] in `dtype`, belong to none of them;
  /// their products follow the layers'.
  DecodeWeight(const std::vector<Linear>& layers, torch::ScalarType dtype,
               const torch::Tensor& below = {});

  /// Whether all of it is one dense matrix, which dense() then returns: for kernels that read one.
  bool is_dense() const { return parts_.size() == 1 && parts_[0].matrix.is_dense(); }
  const torch::Tensor& dense() const;
  /// Whether inputs like x_BE run as kernels for few rows.
  bool takes_few_rows(const torch::Tensor& x_BE) const;

  /// norm(x_BE) -> the outputs of all layers side by side, [B, sum of out].
  torch::Tensor product(const torch::Tensor& x_BE, const SkinnyNorm& norm = {}) const;
  /// residual_BO + product(x_BE), of one layer.
  torch::Tensor product_add(const torch::Tensor& x_BE, const torch::Tensor& residual_BO) const;
  /// silu(gate) * up of the products of two layers with norm(x_BE).
  torch::Tensor product_swiglu(const torch::Tensor& x_BE, const SkinnyNorm& norm) const;

 private:
  struct Part {
    FrozenMatrix matrix;
    torch::Tensor a_RE = {}, b_OR = {};  ///< LoRA, undefined without; b is scaled
  };
  static Part quantised_part(const LinearImpl& layer, torch::ScalarType dtype);
  bool has_lora() const;
  /// Adds LoRA of the parts from `first` on to y_BO, their outputs side by side.
  void add_low_rank(torch::Tensor& y_BO, const torch::Tensor& x_BE, const SkinnyNorm& norm,
                    size_t first, size_t count) const;

  std::vector<Part> parts_;
};

}  // namespace lococo

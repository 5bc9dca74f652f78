// Rotary position embedding (RoFormer, arXiv 2104.09864) in LLaMA's half-split layout: element i of
// a head turns with element i + D / 2.
#pragma once

#include <torch/types.h>

namespace lococo {

/// x_BHLD * cos_LD + (-second half, first half) * sin_LD, computed in float32 (float64 for
/// float64), rounded once to the dtype of x. cos_LD and sin_LD are float32, their two halves of D
/// equal; they get no gradient. D is even.
///
/// On a GPU, bfloat16 and float32 run as one kernel, which takes x with any strides but the last
/// (1), so a transposed view of a projection is not copied. Its output is contiguous. The gradient
/// it returns is [B, L, H, D] in memory: its transposed view flattens into the projection's without
/// a copy. Anything else is rotary_reference().
torch::Tensor rotary(const torch::Tensor& x_BHLD, const torch::Tensor& cos_LD,
                     const torch::Tensor& sin_LD);

/// Each slot by angles of its own: row place_BGS (int32, in [0, X)) of cos_XD and sin_XD turns
/// x_BGSD's slot. All else as above.
torch::Tensor rotary_at(const torch::Tensor& x_BGSD, const torch::Tensor& place_BGS,
                        const torch::Tensor& cos_XD, const torch::Tensor& sin_XD);
torch::Tensor rotary_at_reference(const torch::Tensor& x_BGSD, const torch::Tensor& place_BGS,
                                  const torch::Tensor& cos_XD, const torch::Tensor& sin_XD);

/// The same in plain tensor operations.
torch::Tensor rotary_reference(const torch::Tensor& x_BHLD, const torch::Tensor& cos_LD,
                               const torch::Tensor& sin_LD);

}  // namespace lococo

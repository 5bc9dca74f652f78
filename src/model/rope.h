// Rotary position embedding (RoFormer, arXiv 2104.09864) in LLaMA's half-split layout, with the context extensions that
// Hugging Face names: linear (position interpolation), dynamic (NTK), yarn, llama3.
#pragma once

#include <torch/types.h>

#include "core/model_shape.h"

namespace lococo {

/// cos and sin of L positions, float32 [L, D], the two halves of D equal.
struct RopeTable {
  torch::Tensor cos_LD;
  torch::Tensor sin_LD;
};

class Rope {
 public:
  explicit Rope(const ModelShape& shape);

  /// The angles of positions begin .. end - 1. `dynamic` scales by `end`, as transformers does for the longest position
  /// of a forward.
  RopeTable table(int64_t begin, int64_t end, torch::Device device) const;

 private:
  std::vector<double> inverse_frequencies(int64_t sequence_length) const;
  ModelShape shape_;
  double attention_factor_ = 1.0;
};

/// x_BHLD rotated by the angles; dtype of x, computed in float32.
torch::Tensor apply_rope(const torch::Tensor& x_BHLD, const RopeTable& table);

}  // namespace lococo

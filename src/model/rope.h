// Rotary position embedding (RoFormer, arXiv 2104.09864) in LLaMA's half-split layout, with the
// context extensions that Hugging Face names: linear (position interpolation), dynamic (NTK), yarn,
// llama3.
#pragma once

#include <torch/types.h>

#include <vector>

#include "core/model_shape.h"

namespace lococo {

/// cos and sin of L positions, float32 [L, D], the two halves of D equal.
struct RopeTable {
  torch::Tensor cos_LD;
  torch::Tensor sin_LD;

  /// Views of rows begin .. begin + length - 1.
  RopeTable narrow(int64_t begin, int64_t length) const;
};

class Rope {
 public:
  explicit Rope(const ModelShape& shape);

  /// The angles of positions begin .. end - 1. `dynamic` scales by `end`, as transformers does by
  /// the longest position of a forward.
  RopeTable table(int64_t begin, int64_t end, torch::Device device) const;

 private:
  torch::Tensor inverse_frequencies(int64_t sequence_length) const;  // float32 [D / 2] on the CPU

  ModelShape shape_;
  double attention_factor_ = 1.0;  // yarn multiplies cos and sin by it
  // The last inverse frequencies used, which saves a copy to the GPU at every forward, and the
  // length that they were made for (0 unless dynamic).
  mutable torch::Tensor on_device_;
  mutable int64_t on_device_length_ = 0;
};

/// x_BGSD rotated by the angles of each slot's own place, a row of the table (place_BGS, int32).
torch::Tensor apply_rope_at(const torch::Tensor& x_BGSD, const torch::Tensor& place_BGS,
                            const RopeTable& table);

/// x_BHLD rotated by the angles of its L positions, computed in float32 (float64 for float64), in
/// the dtype of x. The tables get no gradient.
torch::Tensor apply_rope(const torch::Tensor& x_BHLD, const RopeTable& table);

}  // namespace lococo

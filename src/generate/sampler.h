// Tokens drawn on the device from logits.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace lococo {

struct SamplingOptions {
  double temperature = 0.0;  ///< of the softmax; 0: always the most probable token
  double top_p = 1.0;        ///< draw from the fewest most probable tokens of this mass (nucleus)
  uint64_t seed = 1;         ///< of the draws
};

/// Draws tokens from logits with tensor operations only. Random numbers come from the CPU for the
/// whole run at once, so a seed means one text on every device (up to the rounding of logits), and
/// drawing needs no state on the device.
class Sampler {
 public:
  /// For `batch` rows and at most `draws` tokens of each.
  Sampler(const SamplingOptions& options, int64_t batch, int64_t draws, torch::Device device);

  /// The `draw`-th token of each row, int64 [B], from logits_BV. arXiv 1904.09751 for top_p.
  torch::Tensor sample(const torch::Tensor& logits_BV, int64_t draw) const;

 private:
  SamplingOptions options_;
  torch::Tensor uniform_TB_;
};

}  // namespace lococo

// Retention that hands what it drops to the slots whose keys are most like it; nothing is learned.
#pragma once

#include "lococo/mixed_retention.h"

namespace lococo {

/// Shares each dropped token e out over the massed slots r by the likeness of their keys,
///   A_er = softmax_r(cos(k_e, k_r) / 0.03)
/// and gives a slot the mean of values by their lengths, w = |v|:
///   v_r = (w_r v_r + sum_e A_er w_e v_e) / (w_r + sum_e A_er w_e)
/// in float32. Gradients reach the cache's keys and values where they require one.
class SimilarRetention : public MixedRetention {
 public:
  using MixedRetention::MixedRetention;

 private:
  torch::Tensor mix(const CacheState& rest, const torch::Tensor& massed_BGR) const override;
};

}  // namespace lococo

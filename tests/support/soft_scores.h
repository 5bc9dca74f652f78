// Scores for a soft choice, as leaves whose gradients are compared.
#pragma once

#include "tests/support/tensors.h"

namespace lococo::testing {

struct SoftScores {
  torch::Tensor score_BGS, massed_BGS;

  SoftScores leaves() const {
    return {score_BGS.detach().clone().requires_grad_(true),
            massed_BGS.detach().clone().requires_grad_(true)};
  }
};

/// Between -50 and 50; all 50 without a spread.
inline SoftScores soft_scores(int64_t S, double spread, torch::Device device) {
  const double centre = spread == 0.0 ? 50.0 : 0.0;
  const auto score = (centre + spread * normal({2, 2, S}, 1)).clamp(-50, 50);
  const auto massed = (score + spread * normal({2, 2, S}, 2).abs()).clamp(-50, 50);
  return {score.to(device), massed.to(device)};
}

}  // namespace lococo::testing

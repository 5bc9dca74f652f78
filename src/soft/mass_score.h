// How the attention that a key has received joins its score.
#pragma once

#include <torch/types.h>

namespace lococo {

/// log(mass + kMassFloor): how attention's mass joins a score; a constant.
torch::Tensor log_of_mass(const torch::Tensor& mass_BGS);

/// score + mass_weight * log_of_mass(mass), [B, G, S].
torch::Tensor score_with_mass(const torch::Tensor& score_BGS, const torch::Tensor& mass_BGS,
                              const torch::Tensor& mass_weight_G);

}  // namespace lococo

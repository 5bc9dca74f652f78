#include "soft/mass_score.h"

#include "soft/mass_floor.h"
#include "tensor/kit/torch.h"

namespace lococo {

torch::Tensor log_of_mass(const torch::Tensor& mass_BGS) {
  return torch::log(mass_BGS.detach() + kMassFloor);
}

torch::Tensor score_with_mass(const torch::Tensor& score_BGS, const torch::Tensor& mass_BGS,
                              const torch::Tensor& mass_weight_G) {
  const auto weight_G1 = mass_weight_G.to(score_BGS.scalar_type()).unsqueeze(-1);
  return score_BGS + weight_G1 * log_of_mass(mass_BGS);
}

}  // namespace lococo

#include "lococo/similar_retention.h"

#include <limits>

#include "lococo/selection.h"
#include "tensor/kit/wide.h"

namespace lococo {
namespace {

/// Of the softmax: on novels 0.02 to 0.06 do about the same, the nearest slot alone is worse.
constexpr double kTemperature = 0.03;

torch::Tensor unit_length(const torch::Tensor& x_BGSD) {
  const auto least = std::numeric_limits<float>::min();  // a key of zeros is like none
  return x_BGSD / x_BGSD.norm(2, /*dim=*/-1, /*keepdim=*/true).clamp_min(least);
}

}  // namespace

torch::Tensor SimilarRetention::mix(const CacheState& rest, const torch::Tensor& massed_BGR) const {
  const auto wide = wide_of(rest.v_BGSD);
  const auto k_BGSD = unit_length(rest.k_BGSD.to(wide));
  const auto v_BGSD = rest.v_BGSD.to(wide);
  const auto own_BGRD = gather_slots(v_BGSD, massed_BGR);
  const auto cosine_BGSR =
      torch::matmul(k_BGSD, gather_slots(k_BGSD, massed_BGR).transpose(-2, -1));
  const auto share_BGSR = torch::softmax(cosine_BGSR / kTemperature, /*dim=*/-1);

  const auto length_BGS = v_BGSD.norm(2, /*dim=*/-1);
  // The massed slots are in `rest` too, and share themselves out to nobody.
  const auto given_BGS = length_BGS.scatter(/*dim=*/2, massed_BGR, 0.0);
  const auto weight_BGRS = (share_BGSR * given_BGS.unsqueeze(-1)).transpose(-2, -1);
  const auto own_weight_BGR1 = gather_slots(length_BGS, massed_BGR).unsqueeze(-1);
  const auto sum_BGRD = own_weight_BGR1 * own_BGRD + torch::matmul(weight_BGRS, v_BGSD);
  const auto total_BGR1 = own_weight_BGR1 + weight_BGRS.sum(/*dim=*/-1, /*keepdim=*/true);
  const auto least = std::numeric_limits<float>::min();  // all values are zero: so is the mean
  return (sum_BGRD / total_BGR1.clamp_min(least)).to(rest.v_BGSD.scalar_type());
}

}  // namespace lococo

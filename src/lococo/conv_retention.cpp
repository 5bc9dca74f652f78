#include "lococo/conv_retention.h"

#include "lococo/selection.h"

namespace lococo {

ConvRetention::ConvRetention(const CacheConfig& config, const PolicyShape& shape,
                             uint64_t init_seed)
    : MixedRetention(config, shape, init_seed),
      mixer_(this, config, shape.kv_heads, shape.head_dim, init_seed) {}

torch::Tensor ConvRetention::mix(const CacheState& rest, const torch::Tensor& massed_BGR) const {
  const auto mixture_BGRD = torch::matmul(mixer_.weights(rest), rest.v_BGSD);
  return mixer_.mix(gather_slots(rest.v_BGSD, massed_BGR), mixture_BGRD);
}

}  // namespace lococo

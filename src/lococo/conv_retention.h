// Retention that mixes what it drops by LoCoCo's convolution over time (arXiv 2406.05317).
#pragma once

#include "lococo/mixed_retention.h"
#include "lococo/time_mixer.h"

namespace lococo {

/// Gives a massed slot r
///   v_r = (1 - a) * own_r + a * softmax_time(relu(conv(K ++ V)))_r V
/// over these and the dropped tokens in order of time; a is the normalizer. With a = 0 this is
/// RetentionPolicy. Gradients reach convolutions, normalizer and, where they require one, the
/// cache's keys and values.
class ConvRetention : public MixedRetention {
 public:
  ConvRetention(const CacheConfig& config, const PolicyShape& shape, uint64_t init_seed);

  torch::Tensor normalizer() const { return mixer_.normalizer; }

 private:
  torch::Tensor mix(const CacheState& rest, const torch::Tensor& massed_BGR) const override;

  TimeMixer mixer_;
};

}  // namespace lococo

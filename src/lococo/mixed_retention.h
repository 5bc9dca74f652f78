// Learned retention beside which nothing is lost at once: the values of the tokens that are dropped
// are mixed into some of the slots that stay, by LoCoCo's convolution (arXiv 2406.05317).
#pragma once

#include "lococo/retention.h"
#include "lococo/time_mixer.h"

namespace lococo {

/// Keeps the slots that RetentionPolicy keeps, with their keys, places, scores and masses. The R
/// `massed_slots`, those that score with mass chose, get
///   v_r = (1 - a) * own_r + a * softmax_time(relu(conv(K ++ V)))_r V
/// over these and the dropped tokens in order of time; a is the normalizer. Keys stay, because a
/// mixture of keys has no place in the text. With a = 0 this is RetentionPolicy.
class MixedRetention : public RetentionPolicy {
 public:
  MixedRetention(const CacheConfig& config, const PolicyShape& shape, uint64_t init_seed);
  /// The result's gradient reaches convolutions, normalizer and, where they require one, the
  /// cache's keys and values; the gate gets none.
  CacheState compress(const CacheState& cache) override;

  torch::Tensor normalizer() const { return mixer_.normalizer; }

 private:
  CacheConfig config_;
  TimeMixer mixer_;
};

}  // namespace lococo

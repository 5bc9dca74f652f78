// Learned retention beside which nothing is lost at once: the values of the tokens that are dropped
// are mixed into some of the slots that stay.
#pragma once

#include "lococo/retention.h"

namespace lococo {

/// Keeps the slots that RetentionPolicy keeps, with their keys, places, scores and masses. The R
/// `massed_slots`, those that score with mass chose, get new values, made of their own and of those
/// that are dropped. Keys stay, because a mixture of keys has no place in the text.
class MixedRetention : public RetentionPolicy {
 public:
  MixedRetention(const CacheConfig& config, const PolicyShape& shape, uint64_t init_seed);
  /// The gate gets no gradient; mixed values carry what mix() gives them.
  CacheState compress(const CacheState& cache) override;

 private:
  /// The massed slots' values, [B, G, R, D] in the dtype of `rest`: these slots, numbers
  /// massed_BGR (ascending), and all others of `rest`, which are dropped, in order of time.
  virtual torch::Tensor mix(const CacheState& rest, const torch::Tensor& massed_BGR) const = 0;
};

}  // namespace lococo

// LoCoCo (arXiv 2406.05317): the tokens that leave the cache are mixed by a learned convolution
// into a few slots, beside heavy hitters that stay unchanged. Parameter names are the official
// code's: layers.0.weight, layers.2.weight, ..., normalizer.
#pragma once

#include "lococo/cache_policy.h"
#include "lococo/time_mixer.h"

namespace lococo {

class ConvMemory : public CachePolicy {
 public:
  ConvMemory(const CacheConfig& config, int64_t kv_heads, int64_t head_dim, uint64_t init_seed);
  PolicyNeeds needs() const override { return {/*mass=*/true}; }

  /// Mixed slot r = (1 - a) * (r-th heaviest of the rest) + a * softmax_time(relu(conv(K ++ V)))_r
  /// over the rest, for keys and values alike; a is the normalizer. Without mix_keys its key is
  /// that of the r-th heaviest, unmixed. With mass_channel the convolution sees the logarithm of
  /// the masses beside K and V. Masses mix like values, then fade by score_factor(). The result's
  /// gradient reaches conv, normalizer and, where they require one, the cache's keys and values.
  /// rotated: kept slots, then mixed ones. unrotated: all in order of time, a mixed slot at the
  /// place of its r-th token.
  CacheState compress(const CacheState& cache) override;

  /// Packs the convolution's weight where compress() will run the kernels that read it so; else
  /// does nothing.
  void prepare(CacheState& cache) override;

  torch::Tensor normalizer() const { return mixer_.normalizer; }

 private:
  /// compress()'s mixed slots in tensor operations, masses not faded. residual_BGR: the places in
  /// `rest` of its R heaviest, ascending.
  CacheState mixed_slots(const CacheState& rest, const torch::Tensor& residual_BGR);

  CacheConfig config_;
  TimeMixer mixer_;
};

}  // namespace lococo

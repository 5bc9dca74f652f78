// Which slots of a full cache stay unchanged: sinks, newest tokens and heavy hitters by attention
// mass.
#pragma once

#include <torch/types.h>

#include "config/cache_config.h"
#include "lococo/cache_state.h"

namespace lococo {

/// Slot numbers, int64, ascending along the last axis.
struct SlotSelection {
  torch::Tensor kept_BGM;  ///< the `kept_slots` that stay
  torch::Tensor rest_BGS;  ///< all others
};

/// The first `sinks` and the last `local` slots, and of those between the ones with the largest
/// mass (per head), together `kept` of the S slots. mass_BGS float32, any device; numbers carry no
/// gradient. No host synchronisation. Throws c10::Error when these do not fit into each other.
SlotSelection select_slots(const torch::Tensor& mass_BGS, int64_t kept, int64_t sinks,
                           int64_t local);

/// How many slots each reason keeps.
struct SlotShares {
  int64_t sinks, local, alone, massed;
  int64_t slots() const { return sinks + local + alone + massed; }
};

/// Those of retention.
SlotShares shares_of(const CacheConfig& config);

/// The first `sinks` and last `local` slots; of those between, the `alone` with the largest
/// score_BGS; of what then is left, the `massed` with the largest massed_BGS (may be undefined when
/// that is 0): int64 [B, G, slots], ascending. Of equal numbers the lower slot wins. float32, any
/// device; no gradient, no host synchronisation. Throws c10::Error when these do not fit into S.
torch::Tensor select_two_shares(const torch::Tensor& score_BGS, const torch::Tensor& massed_BGS,
                                const SlotShares& shares);

/// Everything that `cache` holds of the slots index_BGM (int64); its homes stay behind.
CacheState gather_cache(const CacheState& cache, const torch::Tensor& index_BGM);

/// x_BGSD (or x_BGS) at the slot numbers index_BGM (int64): [B, G, M, D] (or [B, G, M]) in the
/// dtype of x, with its gradient.
torch::Tensor gather_slots(const torch::Tensor& x, const torch::Tensor& index_BGM);

}  // namespace lococo

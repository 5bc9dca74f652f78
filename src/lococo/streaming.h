// StreamingLLM (arXiv 2309.17453): the first tokens (attention sinks) and the newest ones.
#pragma once

#include "lococo/cache_policy.h"

namespace lococo {

class StreamingPolicy : public CachePolicy {
 public:
  explicit StreamingPolicy(const CacheConfig& config);
  PolicyNeeds needs() const override { return {}; }

  /// Keeps slots [0, sinks) and the newest slots - sinks, bit for bit.
  CacheState compress(const CacheState& cache) override;

 private:
  CacheConfig config_;
};

}  // namespace lococo

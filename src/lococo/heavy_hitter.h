// H2O (arXiv 2306.14048): the tokens that received most attention, beside sinks and the newest
// ones.
#pragma once

#include "lococo/cache_policy.h"

namespace lococo {

/// With scores last_block and local 0 this is the official LoCoCo code's baseline `hh`; the paper's
/// H2O accumulates scores and keeps a window of newest tokens.
class HeavyHitterPolicy : public CachePolicy {
 public:
  explicit HeavyHitterPolicy(const CacheConfig& config);
  PolicyNeeds needs() const override { return {/*mass=*/true}; }
  /// Keeps the first `sinks`, the last `local` and, of those between, the heaviest; bit for bit, in
  /// order of time.
  CacheState compress(const CacheState& cache) override;

 private:
  CacheConfig config_;
};

}  // namespace lococo

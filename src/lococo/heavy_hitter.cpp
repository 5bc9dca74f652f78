#include "lococo/heavy_hitter.h"

#include "lococo/fused_select.h"
#include "lococo/selection.h"

namespace lococo {

HeavyHitterPolicy::HeavyHitterPolicy(const CacheConfig& config) : config_(config) {}

CacheState HeavyHitterPolicy::compress(const CacheState& cache) {
  TORCH_CHECK(cache.size() > config_.slots, "S=", cache.size(), " must exceed the ", config_.slots,
              " slots");
  if (use_fused_compression(cache, config_)) return keep_slots_fused(cache, config_);
  const auto kept_BGM =
      select_slots(cache.mass_BGS, config_.slots, config_.sinks, config_.local).kept_BGM;
  CacheState kept = gather_cache(cache, kept_BGM);
  kept.mass_BGS = kept.mass_BGS * config_.score_factor(cache.size());
  return kept;
}

}  // namespace lococo

#include "lococo/streaming.h"

#include "lococo/fused_select.h"

namespace lococo {

StreamingPolicy::StreamingPolicy(const CacheConfig& config) : config_(config) {}

CacheState StreamingPolicy::compress(const CacheState& cache) {
  const int64_t S = cache.size(), sinks = config_.sinks, newest = config_.slots - sinks;
  TORCH_CHECK(S > config_.slots, "S=", S, " must exceed the ", config_.slots, " slots");
  if (use_fused_compression(cache, config_)) return keep_slots_fused(cache, config_);
  auto keep = [&](const torch::Tensor& x_BGSD) {
    const auto recent = x_BGSD.narrow(/*dim=*/2, S - newest, newest);
    return sinks == 0 ? recent.contiguous()
                      : torch::cat({x_BGSD.narrow(/*dim=*/2, 0, sinks), recent}, /*dim=*/2);
  };
  CacheState kept;
  kept.k_BGSD = keep(cache.k_BGSD);
  kept.v_BGSD = keep(cache.v_BGSD);
  if (cache.place_BGS.defined()) kept.place_BGS = keep(cache.place_BGS);
  return kept;
}

}  // namespace lococo

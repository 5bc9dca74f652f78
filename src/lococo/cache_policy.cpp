#include "lococo/cache_policy.h"

#include "lococo/conv_memory.h"
#include "lococo/heavy_hitter.h"
#include "lococo/streaming.h"

namespace lococo {

std::shared_ptr<CachePolicy> make_cache_policy(const CacheConfig& config, const PolicyShape& shape,
                                               uint64_t init_seed) {
  switch (config.policy) {
    case CachePolicyKind::kNone:
      return nullptr;
    case CachePolicyKind::kStreaming:
      return std::make_shared<StreamingPolicy>(config);
    case CachePolicyKind::kH2o:
      return std::make_shared<HeavyHitterPolicy>(config);
    case CachePolicyKind::kLococo:
      return std::make_shared<ConvMemory>(config, shape.kv_heads, shape.head_dim, init_seed);
  }
  TORCH_CHECK(false, "unknown cache policy");
}

}  // namespace lococo

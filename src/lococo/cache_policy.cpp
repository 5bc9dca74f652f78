#include "lococo/cache_policy.h"

#include "lococo/conv_memory.h"
#include "lococo/conv_retention.h"
#include "lococo/heavy_hitter.h"
#include "lococo/retention.h"
#include "lococo/similar_retention.h"
#include "lococo/streaming.h"

namespace lococo {
namespace {

std::shared_ptr<CachePolicy> make_retention(const CacheConfig& config, const PolicyShape& shape,
                                            uint64_t init_seed) {
  switch (config.mixing) {
    case MixingKind::kNone:
      return std::make_shared<RetentionPolicy>(config, shape, init_seed);
    case MixingKind::kConv:
      return std::make_shared<ConvRetention>(config, shape, init_seed);
    case MixingKind::kSimilarity:
      return std::make_shared<SimilarRetention>(config, shape, init_seed);
  }
  TORCH_CHECK(false, "unknown mixing");
}

}  // namespace

torch::Tensor CachePolicy::score(const torch::Tensor&) {
  TORCH_CHECK(false, "this policy gives tokens no score");
}

torch::Tensor CachePolicy::attend_softly(const torch::Tensor&, const SoftAttentionInput&,
                                         const SoftCache&) {
  TORCH_CHECK(false, "this policy has no soft form");
}

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
    case CachePolicyKind::kRetention:
      return make_retention(config, shape, init_seed);
  }
  TORCH_CHECK(false, "unknown cache policy");
}

}  // namespace lococo

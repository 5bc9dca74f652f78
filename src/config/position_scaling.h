// Which caches read positions that grow with the text, so that scaling them has a sense.
#pragma once

#include "config/cache_config.h"

namespace lococo {

/// Whether a run with this cache may scale positions (model.rope_scaling, model.interpolate_to). A
/// cache of unrotated keys that compresses keeps positions within what the base was made for, so
/// that scaling could only do harm. The scaling that a base itself was made with is no matter of
/// the cache: it stays.
inline bool takes_scaling(const CacheConfig& cache) {
  return !cache.compresses() || cache.keys == KeyKind::kRotated;
}

}  // namespace lococo

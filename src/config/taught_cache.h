// The memory that a step of teaching is for.
#pragma once

#include <cstdint>

#include "config/cache_config.h"

namespace lococo {

/// `cache` with `slots` slots in place of its own: as many sinks, and newest tokens in proportion.
CacheConfig taught_cache(const CacheConfig& cache, int64_t slots);

}  // namespace lococo

#include "config/taught_cache.h"

namespace lococo {

CacheConfig taught_cache(const CacheConfig& cache, int64_t slots) {
  CacheConfig taught = cache;
  taught.slots = slots;
  taught.local = cache.local * slots / cache.slots;
  return taught;
}

}  // namespace lococo

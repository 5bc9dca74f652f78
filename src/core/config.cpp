#include "core/config.h"

namespace lococo {

int64_t CacheConfig::mixed_slots() const {
  if (policy != CachePolicyKind::kLococo) return 0;
  // The official code's int(slots * (1 - keep_fraction)), rounding of the double product included.
  return static_cast<int64_t>(static_cast<double>(slots) * (1.0 - keep_fraction));
}

}  // namespace lococo

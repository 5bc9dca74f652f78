#include "config/config.h"

#include <cmath>

namespace lococo {

int64_t CacheConfig::mixed_slots() const {
  if (!has_convs()) return 0;
  // The official code's int(slots * (1 - keep_fraction)), rounding of the double product included.
  return static_cast<int64_t>(static_cast<double>(slots) * (1.0 - keep_fraction));
}

double CacheConfig::score_factor(int64_t cached) const {
  const double blocks = static_cast<double>(cached - slots) / static_cast<double>(block);
  return std::pow(score_decay, blocks);
}

bool is_blockwise(const Config& config) {
  if (config.train.pass != PassKind::kAuto) return config.train.pass == PassKind::kBlockwise;
  return config.cache.compresses();
}

}  // namespace lococo

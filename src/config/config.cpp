#include "config/config.h"

#include <algorithm>
#include <cmath>

namespace lococo {

int64_t CacheConfig::mixed_slots() const {
  if (has_retention()) return mixing == MixingKind::kNone ? 0 : massed_slots();
  if (!has_convs()) return 0;
  // The official code's int(slots * (1 - keep_fraction)), rounding of the double product included.
  return static_cast<int64_t>(static_cast<double>(slots) * (1.0 - keep_fraction));
}

int64_t CacheConfig::alone_slots() const {
  const double chosen = static_cast<double>(slots - sinks - local);
  return static_cast<int64_t>(std::lround(chosen * alone_fraction));
}

int64_t CacheConfig::frame_origin(int64_t begin) const {
  if (positions == PositionKind::kSlot || position_cap == 0) return 0;
  return std::max<int64_t>(0, begin - position_cap);
}

double CacheConfig::score_factor(int64_t cached) const {
  const double blocks = static_cast<double>(cached - slots) / static_cast<double>(block);
  return std::pow(score_decay, blocks);
}

int64_t AttentionConfig::group(int64_t context_length) const {
  constexpr double kQuarter = 0.25;
  if (group_tokens) return *group_tokens;
  return static_cast<int64_t>(static_cast<double>(context_length) *
                              group_fraction.value_or(kQuarter));
}

int64_t AttentionConfig::shifted_heads(int64_t heads) const {
  const double share = shift_fraction.value_or(pattern == PatternKind::kSf ? 0.5 : 1.0);
  return std::lround(share * static_cast<double>(heads) / 2);
}

int64_t AttentionConfig::sink_tokens() const {
  constexpr int64_t kSfSinks = 4;
  return sinks.value_or(pattern == PatternKind::kSf ? kSfSinks : 0);
}

PassKind resolved_pass(const Config& config) {
  if (config.train.pass != PassKind::kAuto) return config.train.pass;
  if (config.tune.retention.value_or(0.0) > 0.0) return PassKind::kTeach;
  return config.cache.compresses() ? PassKind::kBlockwise : PassKind::kFullSequence;
}

bool is_blockwise(const Config& config) { return resolved_pass(config) == PassKind::kBlockwise; }

}  // namespace lococo

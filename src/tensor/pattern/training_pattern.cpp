#include "tensor/pattern/training_pattern.h"

namespace lococo {

std::shared_ptr<const AttentionPattern> make_training_pattern(const AttentionConfig& attention,
                                                              int64_t context_length, int64_t H) {
  if (attention.pattern == PatternKind::kFull) return make_full_pattern(attention.backend);
  const SegmentForm form = {attention.group(context_length), attention.shifted_heads(H),
                            attention.sink_tokens()};
  return make_segment_pattern(form, attention.backend);
}

std::string describe_pattern(const AttentionConfig& attention, int64_t context_length, int64_t H) {
  if (attention.pattern == PatternKind::kFull)
    return "attention in training: full, a token sees all before it";
  const int64_t group = attention.group(context_length), sinks = attention.sink_tokens();
  return std::string("attention in training: ") +
         (attention.pattern == PatternKind::kS2 ? "s2" : "sf") + ", segments of " +
         std::to_string(group) + " tokens, shifted by " + std::to_string(group / 2) + " in " +
         std::to_string(attention.shifted_heads(H)) + " of " + std::to_string(H) + " heads, " +
         std::to_string(sinks) + " sinks";
}

}  // namespace lococo

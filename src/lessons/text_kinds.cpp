#include "lessons/text_kinds.h"

#include "core/target_kind.h"
#include "data/repeats.h"

namespace lococo {

std::vector<uint8_t> text_kinds(const std::vector<int64_t>& tokens, int64_t far) {
  const auto targets = static_cast<int64_t>(tokens.size()) - 1;
  std::vector<uint8_t> kinds;
  kinds.reserve(tokens.size());
  for (const Repeat repeat : classify_targets(tokens.data(), targets, far)) {
    const auto kind = repeat == Repeat::kFar ? TargetKind::kFar : TargetKind::kText;
    kinds.push_back(static_cast<uint8_t>(kind));
  }
  return kinds;
}

}  // namespace lococo

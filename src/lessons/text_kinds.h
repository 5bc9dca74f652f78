// The kinds of the targets of a text that nobody is asked about.
#pragma once

#include <cstdint>
#include <vector>

namespace lococo {

/// For each target tokens[1..] TargetKind::kFar where it is a far repeat (data/repeats.h, with the
/// distance `far`), else kText. At least one token.
std::vector<uint8_t> text_kinds(const std::vector<int64_t>& tokens, int64_t far);

}  // namespace lococo

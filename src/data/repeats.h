// Which targets of a text a memory could help with: those whose bigram occurred before, near or
// far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lococo {

enum class Repeat { kNew, kNear, kFar };

/// For each of the n targets tokens[1..n] of a segment `tokens` [n + 1]. Target t is a repeat if
/// its bigram (x[t-1], x[t]) occurred earlier in the segment; it is far if the latest earlier
/// occurrence is more than `far` tokens before it, near otherwise.
std::vector<Repeat> classify_targets(const int64_t* tokens, int64_t n, int64_t far);

}  // namespace lococo

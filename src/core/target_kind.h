// What the targets of a training sequence are to the loss: shared by whoever makes sequences, which
// knows nothing of torch, and the passes.
#pragma once

#include <cstdint>

namespace lococo {

/// What a target is to the loss.
enum class TargetKind : uint8_t {
  kIgnored = 0,  ///< does not count: what fills a sequence up
  kText = 1,
  kFar = 2,     ///< text whose like occurred before, far back (data/repeats.h)
  kAnswer = 3,  ///< of a question about what was read
};

}  // namespace lococo

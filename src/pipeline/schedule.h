// In which order a stage of a pipeline takes blocks forward and backward.
#pragma once

#include <cstdint>
#include <vector>

namespace lococo {

struct Turn {
  bool forward = true;
  int64_t block = 0;

  bool operator==(const Turn&) const = default;
};

/// One forward, one backward (PipeDream-Flush, arXiv 2006.09503): `depth` blocks go forward, then
/// one backward and the next one forward, in turn; the rest goes backward. With depth = stages -
/// stage, the last stage turns each block round at once, and a pipeline of P stages is idle for
/// P - 1 of blocks + P - 1 turns.
std::vector<Turn> one_forward_one_backward(int64_t blocks, int64_t depth);

}  // namespace lococo

// What one layer remembers between blocks.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Slots lie in order of time, except that the official (rotated) LoCoCo puts its mixed slots after
/// the kept ones. Keys are stored as KeyKind says: after RoPE (rotated) or before it (unrotated).
/// Rows of a ragged batch are padded on the right: what a row caches after its own end is seen by
/// no target that counts.
struct CacheState {
  torch::Tensor k_BGSD;  ///< compute dtype; carries no gradient
  torch::Tensor v_BGSD;
  torch::Tensor mass_BGS;  ///< float32 score of each slot; undefined when the policy needs none

  /// Slots in use (S); 0 before the first block.
  int64_t size() const { return k_BGSD.defined() ? k_BGSD.size(2) : 0; }
};

}  // namespace lococo

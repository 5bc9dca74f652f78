// What one layer remembers between blocks.
#pragma once

#include <torch/types.h>

namespace lococo {

/// Keys are stored as the policy's KeyKind says: after RoPE (rotated) or before it (unrotated). Rows of a ragged batch are
/// padded on the right: what a row caches after its own end is never looked at by a target that counts.
struct CacheState {
  torch::Tensor k_BGSD;     ///< compute dtype; detached from the graph of earlier blocks
  torch::Tensor v_BGSD;
  torch::Tensor mass_BGS;   ///< float32 score of each slot; undefined when the policy needs none
  torch::Tensor time_BGS;   ///< int64 position in the sequence of the token a slot stands for; undefined if not needed

  /// Slots in use (S); 0 before the first block.
  int64_t size() const { return k_BGSD.defined() ? k_BGSD.size(2) : 0; }
};

}  // namespace lococo
